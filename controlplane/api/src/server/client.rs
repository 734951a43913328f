//! Who is at the other end of a connection, and what he may.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::Role;

/// A client, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// On the Unix socket.
    Local { uid: u32, gid: u32, pid: Option<i32> },
    /// Over TLS.
    Remote(SocketAddr),
}

/// On whose account a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    User(u32),
    Token(u32),
    /// One that did not prove itself; IPv6 by its /64.
    Address(IpAddr),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) source: Source,
    pub(super) role: Role,
}

impl Client {
    /// On whose account an unproven request goes.
    pub(super) fn source(self) -> Source {
        match self {
            Self::Local { uid, .. } => Source::User(uid),
            Self::Remote(address) => Source::Address(network(address.ip())),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64))
        }
        address => address.to_canonical(),
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { pid: Some(pid), .. } => write!(f, "pid {pid} on the Unix socket"),
            Self::Local { pid: None, .. } => f.write_str("the Unix socket"),
            Self::Remote(address) => address.fmt(f),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid {uid}"),
            Self::Token(id) => write!(f, "token {id:08x}"),
            Self::Address(_) => Ok(()),
        }
    }
}

/// Who may do what, beside root and the daemon's own user, who may everything.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Groups of this machine whose members have the role on the Unix socket.
    pub viewers: Vec<String>,
    pub operators: Vec<String>,
    pub admins: Vec<String>,
    /// Where tokens and the audit log are kept; without it there are no tokens, and the audit log is in the log only.
    pub state: Option<PathBuf>,
    /// The certificate of the gateway's own CA, in PEM, for those who shall trust it.
    pub ca: Option<String>,
}

impl Access {
    /// The role of a user of this machine.
    pub(super) fn role(&self, uid: u32, gid: u32) -> Option<Role> {
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            return Some(Role::Admin);
        }
        let all =
            [(Role::Admin, &self.admins), (Role::Operator, &self.operators), (Role::Viewer, &self.viewers)];
        if all.iter().all(|(_, groups)| groups.is_empty()) {
            return None;
        }
        // The accounts may change while the daemon runs.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let member_of = groups_of(uid, gid, &read("/etc/passwd"), &read("/etc/group"));
        all.into_iter()
            .find(|(_, groups)| groups.iter().any(|group| member_of.contains(group)))
            .map(|(role, _)| role)
    }
}

/// Names of the groups that a user has by passwd(5) and group(5).
fn groups_of(uid: u32, gid: u32, passwd: &str, group: &str) -> BTreeSet<String> {
    let user = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let is_member = |line: &&str| {
        let mut fields = line.split(':').skip(2);
        let number = fields.next().and_then(|number| number.parse().ok());
        let listed =
            user.is_some_and(|user| fields.next().unwrap_or_default().split(',').any(|name| name == user));
        listed || number == Some(gid)
    };
    group.lines().filter(is_member).filter_map(|line| line.split(':').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_of_the_user() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n";
        let group = "root:x:0:\nnetops:x:27:ann,carl\nann:x:1000:\nannex:x:28:annabel\nbroken\n::\n";
        let of = |uid, gid| groups_of(uid, gid, passwd, group).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(of(1000, 1000), "ann netops");
        assert_eq!(of(1001, 27), "netops");
        assert_eq!(of(4711, 4711), "", "one whom nobody knows");
    }

    #[test]
    fn the_highest_role_counts_and_strangers_have_none() {
        let access =
            Access { viewers: vec!["root".into()], operators: vec!["root".into()], ..Access::default() };
        assert_eq!(access.role(0, 0), Some(Role::Admin));
        assert_eq!(access.role(4711, 0), Some(Role::Operator), "by its primary group");
        assert_eq!(access.role(4711, 4711), None);
        assert_eq!(Access::default().role(4711, 0), None);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let source = |text: &str| Client::Remote(text.parse().expect("an address")).source();
        assert_eq!(source("[2001:db8::1]:1"), source("[2001:db8::ffff:2]:2"));
        assert_ne!(source("[2001:db8::1]:1"), source("[2001:db8:0:1::1]:1"));
        assert_eq!(source("[::ffff:192.0.2.1]:1"), source("192.0.2.1:9"));
        assert_ne!(source("192.0.2.2:1"), source("192.0.2.1:1"));
    }
}
