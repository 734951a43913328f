//! One value of the document and the ways to read it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::reader::{Reader, type_name, words};
use crate::diagnostic::{At, Code, Problem, Sink};

/// Longest name of a resource, in bytes.
const MAX_NAME: usize = 128;
/// The largest lifetime, in seconds.
pub(super) const MAX_LIFETIME: i128 = 86_400;

/// A value and its place. Every reading reports what is wrong and then gives `None`.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    value: &'a DeValue<'a>,
    at: At,
}

impl<'a> Value<'a> {
    pub(super) fn new(value: &'a DeValue<'a>, at: At) -> Self {
        Self { value, at }
    }

    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// The value as an error shows it; lists and tables by their kind.
    pub(super) fn shown(&self) -> String {
        match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            DeValue::Array(_) | DeValue::Table(_) => type_name(self.value).to_owned(),
        }
    }

    /// A problem with this value.
    pub(super) fn problem(&self, code: Code, message: impl Into<String>) -> Problem<'_> {
        Problem::new(code, &self.at, message).value(self.shown())
    }

    /// Its elements, if it is a list.
    pub(super) fn array(&self) -> Option<Vec<Self>> {
        let items = self.value.as_array()?;
        let element = |(index, item): (usize, &'a toml::Spanned<DeValue<'a>>)| {
            Self::new(item.get_ref(), self.at.element(index, item.span()))
        };
        Some(items.iter().enumerate().map(element).collect())
    }

    /// The keys as they are written, and their values.
    pub(super) fn entries(&self, sink: &mut Sink<'_>) -> Option<Vec<(&'a str, Self)>> {
        let Some(table) = self.value.as_table() else { return self.wrong_type("a table", sink) };
        let entry = |(key, value): (&'a toml::Spanned<_>, &'a toml::Spanned<DeValue<'a>>)| {
            let key: &'a std::borrow::Cow<'a, str> = key.get_ref();
            (&**key, Self::new(value.get_ref(), self.at.child(key, value.span())))
        };
        Some(table.iter().map(entry).collect())
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn table(&self, sink: &mut Sink<'_>) -> Option<Reader<'a>> {
        match self.value.as_table() {
            Some(table) => Some(Reader::new(table, self.at.clone())),
            None => self.wrong_type("a table", sink),
        }
    }

    pub(super) fn text(&self, sink: &mut Sink<'_>) -> Option<&'a str> {
        match self.value.as_str() {
            Some(text) => Some(text),
            None => self.wrong_type("text in quotes", sink),
        }
    }

    /// Text without regard to its type errors: for values that may be a word or something else.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn flag(&self, sink: &mut Sink<'_>) -> Option<bool> {
        self.as_flag().or_else(|| self.wrong_type("true or false", sink))
    }

    pub(super) fn as_flag(&self) -> Option<bool> {
        match (self.value.as_bool(), self.value.as_str().map(str::to_ascii_lowercase).as_deref()) {
            (Some(flag), _) => Some(flag),
            (None, Some("yes" | "on" | "true")) => Some(true),
            (None, Some("no" | "off" | "false")) => Some(false),
            _ => None,
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number<T: TryFrom<i128>>(
        &self,
        (least, most): (i128, i128),
        unit: &str,
        code: Code,
        sink: &mut Sink<'_>,
    ) -> Option<T> {
        let Some(integer) = self.value.as_integer() else { return self.wrong_type("a whole number", sink) };
        let value = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
        let number = (least..=most).contains(&value).then(|| T::try_from(value).ok()).flatten();
        if number.is_none() {
            let key = self.key();
            let problem = self.problem(code, format!("{key} is out of range"));
            let allowed = format!("{least} to {most}{}{unit}", if unit.is_empty() { "" } else { " " });
            sink.error(problem.allowed(allowed).fix("choose a value in the range"));
        }
        number
    }

    /// A lifetime, 0 to 86,400 seconds; 0 is "no rekey by time" and is linted.
    pub(super) fn lifetime(&self, sink: &mut Sink<'_>) -> Option<Duration> {
        let secs: u64 = self.number((0, MAX_LIFETIME), "seconds", Code::LifetimeOutOfRange, sink)?;
        if secs == 0 {
            let message =
                "a lifetime of 0 turns rekeying by time off; packet and sequence limits still rekey";
            sink.warn(self.problem(Code::LifetimeZero, message).fix("86400 is the requirement's default"));
        }
        Some(Duration::from_secs(secs))
    }

    /// One of a list of words, without regard to case, spaces and underscores.
    pub(super) fn word<T: Copy>(&self, choices: &[(&str, T)], sink: &mut Sink<'_>) -> Option<T> {
        let text = self.text(sink)?;
        let normal = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        let choice = choices.iter().find(|(word, _)| *word == normal);
        if choice.is_none() {
            let names: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let problem = self.problem(Code::UnknownValue, format!("{} has no such value", self.key()));
            sink.error(problem.allowed(words(&names)));
        }
        choice.map(|(_, value)| *value)
    }

    /// The name of a resource: it must stand in URLs and logs.
    pub(super) fn name(&self, sink: &mut Sink<'_>) -> Option<String> {
        let text = self.text(sink)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !text.is_empty()
            && text.len() <= MAX_NAME
            && text.chars().all(fits)
            && !text.starts_with(['.', '-'])
        {
            return Some(text.to_owned());
        }
        let problem = self.problem(Code::Malformed, "not a name");
        sink.error(problem.allowed("1 to 128 letters, digits, '-', '_', '.', not '-' or '.' first"));
        None
    }

    /// Any non-empty text, such as a reference or a port's name.
    pub(super) fn reference(&self, sink: &mut Sink<'_>) -> Option<String> {
        match self.text(sink)? {
            "" => {
                sink.error(self.problem(Code::Malformed, format!("{} is empty", self.key())));
                None
            }
            text => Some(text.to_owned()),
        }
    }

    pub(super) fn path(&self, sink: &mut Sink<'_>) -> Option<PathBuf> {
        self.reference(sink).map(PathBuf::from)
    }

    /// The address of one host that may be beyond its link.
    pub(super) fn address(&self, sink: &mut Sink<'_>) -> Option<IpAddr> {
        let text = self.text(sink)?;
        let problem = match text.parse::<IpAddr>() {
            Ok(address) => match not_a_host(address) {
                None => return Some(address),
                Some(why) => self.problem(Code::Malformed, format!("{} is {why}", self.key())),
            },
            Err(_) => self.problem(Code::Malformed, format!("{} is not an IP address", self.key())),
        };
        sink.error(problem.allowed("an address such as \"192.0.2.1\" or \"2001:db8::1\""));
        None
    }

    /// An own address, or that of no host for all of them, with a port.
    pub(super) fn socket_address(&self, sink: &mut Sink<'_>) -> Option<SocketAddr> {
        let text = self.text(sink)?;
        let parsed = text.parse::<SocketAddr>().ok();
        let of_a_machine = |address: &SocketAddr| {
            let ip = address.ip();
            address.port() != 0 && !ip.is_multicast() && ip == ip.to_canonical()
        };
        let address = parsed.filter(of_a_machine);
        if address.is_none() {
            let problem = self.problem(Code::Malformed, "not an address with a port to listen at");
            sink.error(
                problem.allowed("such as \"192.0.2.1:8443\", \"[2001:db8::1]:8443\" or \"0.0.0.0:8443\""),
            );
        }
        address
    }

    /// An own address with the length of its network's prefix.
    pub(super) fn interface_address(&self, sink: &mut Sink<'_>) -> Option<IpNet> {
        let net = self.net("an address with its prefix length such as \"192.0.2.1/24\"", sink)?;
        if let Some(why) = not_a_host(net.addr()) {
            let problem = self.problem(Code::Malformed, format!("{} is {why}", net.addr()));
            sink.error(problem.fix("give an address that others can send to"));
            return None;
        }
        Some(net)
    }

    /// A network: no bit beyond the prefix length.
    pub(super) fn network(&self, sink: &mut Sink<'_>) -> Option<IpNet> {
        let net = self.net("a network such as \"10.1.0.0/24\" or \"2001:db8:1::/64\"", sink)?;
        if net != net.trunc() {
            let problem =
                self.problem(Code::Malformed, format!("{net} has bits set beyond its prefix length"));
            let (network, address, bits) = (net.trunc(), net.addr(), net.max_prefix_len());
            sink.error(problem.fix(format!("write {network}, or {address}/{bits} for the one host")));
            return None;
        }
        Some(net)
    }

    /// A key's last path segment, for messages.
    pub(super) fn key(&self) -> &str {
        self.at.path.rsplit('.').next().unwrap_or_default()
    }

    fn net(&self, allowed: &str, sink: &mut Sink<'_>) -> Option<IpNet> {
        let text = self.text(sink)?;
        let problem = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(net), _) => return Some(net),
            (Err(_), Ok(address)) => {
                let (host, link) = if address.is_ipv4() { (32, 24) } else { (128, 64) };
                let problem = self.problem(Code::Malformed, "the prefix length is missing");
                problem.fix(format!("write {text}/{host} or /{link}"))
            }
            (Err(_), Err(_)) => self.problem(Code::Malformed, format!("{} is not a prefix", self.key())),
        };
        sink.error(problem.allowed(allowed));
        None
    }

    fn wrong_type<T>(&self, expected: &str, sink: &mut Sink<'_>) -> Option<T> {
        let message = format!("{} is {}, not {expected}", self.key(), type_name(self.value));
        let problem = Problem::new(Code::WrongType, &self.at, message).allowed(expected);
        let secret =
            matches!(self.key().to_ascii_lowercase().as_str(), "psk" | "pre-shared-key" | "pre_shared_key");
        sink.error(if secret { problem } else { problem.value(self.shown()) });
        None
    }
}

/// Why nobody beyond a link can be reached at `address`; `None` if somebody can.
fn not_a_host(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(a) if a.is_unspecified() || a.is_multicast() || a.is_broadcast() => {
            Some("not the address of a host")
        }
        IpAddr::V6(a) if a.is_unspecified() || a.is_multicast() || a.is_loopback() => {
            Some("not the address of a host")
        }
        IpAddr::V6(a) if a.is_unicast_link_local() => {
            Some("a link-local address; a global or unique local one is needed")
        }
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => {
            Some("an IPv4 address in the clothes of IPv6; write it as IPv4")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// In double quotes, as the document writes it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}
