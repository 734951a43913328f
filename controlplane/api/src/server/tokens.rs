//! Bearer tokens: 256 random bits each, of which only the SHA-256 is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::kept;
use crate::{Problem, Role, Token, TokenCreated, TokenRequest};

/// Every token begins so: a scanner of repositories knows what it found.
const PREFIX: &str = "esplanade_";
const SECRET_LEN: usize = 32;
/// Tokens that there may be, those included that have expired.
const MAX_TOKENS: usize = 256;
const MAX_NAME: usize = 64;
const MAX_DAYS: u32 = 3650;
const DAY: u64 = 86_400;

/// What is kept of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    token: Token,
    /// SHA-256 of the whole token, in hexadecimal digits.
    sha256: String,
}

/// The tokens, in memory and in a file of mode 0600.
#[derive(Debug)]
pub(super) struct Tokens {
    file: Option<PathBuf>,
    kept: Mutex<BTreeMap<u32, Kept>>,
    /// Held by the one who writes the file, so that nobody who only looks waits for the disk.
    writing: Mutex<()>,
}

impl Tokens {
    /// Those of `tokens.json` in a folder; without a folder there are none.
    pub(super) fn load(state: Option<&Path>) -> io::Result<Self> {
        let file = state.map(|folder| folder.join("tokens.json"));
        let kept = file.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(Self { file, kept: Mutex::new(kept), writing: Mutex::default() })
    }

    /// The token that somebody showed, if it is one and good at this time.
    pub(super) fn check(&self, shown: &str, now: u64) -> Option<(u32, Role)> {
        let id = id_of(shown.strip_prefix(PREFIX)?.split_once('_')?.0)?;
        let kept = self.lock();
        let kept = kept.get(&id)?;
        let same: bool = digest(shown).as_bytes().ct_eq(kept.sha256.as_bytes()).into();
        (same && now < kept.token.expires).then_some((id, kept.token.role))
    }

    /// Whether a token is neither revoked nor expired at this time.
    pub(super) fn is_good(&self, id: u32, now: u64) -> bool {
        self.lock().get(&id).is_some_and(|kept| now < kept.token.expires)
    }

    pub(super) fn list(&self) -> Vec<Token> {
        self.lock().values().map(|kept| kept.token.clone()).collect()
    }

    /// Makes a token. It writes to the disk: not for an async task.
    pub(super) fn create(&self, request: &TokenRequest, now: u64) -> Result<TokenCreated, Problem> {
        let TokenRequest { name, role, days } = request;
        let fits = |c: char| !c.is_control();
        if name.is_empty() || name.chars().count() > MAX_NAME || !name.chars().all(fits) {
            return Err(invalid(format!(
                "a token's name has 1-{MAX_NAME} characters, none of them a control"
            )));
        }
        if !(1..=MAX_DAYS).contains(days) {
            return Err(invalid(format!("a token is good for 1-{MAX_DAYS} days")));
        }
        let expires = now + u64::from(*days) * DAY;
        self.change(|kept| {
            if kept.len() >= MAX_TOKENS {
                let problem =
                    Problem::new(409, "TooManyTokens", "Too many tokens", format!("there are {MAX_TOKENS}"));
                return Err(problem.fix("revoke some of them"));
            }
            let mut id = u32::from_be_bytes(random()?);
            while kept.contains_key(&id) {
                id = u32::from_be_bytes(random()?);
            }
            let secret = format!("{PREFIX}{id:08x}_{}", hexadecimal(&random::<SECRET_LEN>()?));
            let token =
                Token { id: format!("{id:08x}"), name: name.clone(), role: *role, created: now, expires };
            kept.insert(id, Kept { token: token.clone(), sha256: digest(&secret) });
            Ok(TokenCreated { token, secret })
        })
    }

    /// Forgets a token; from then on it is refused. It writes to the disk: not for an async task.
    pub(super) fn revoke(&self, id: &str) -> Result<(), Problem> {
        self.change(|kept| match id_of(id).and_then(|id| kept.remove(&id)) {
            Some(_) => Ok(()),
            None => Err(Problem::not_found(format!("there is no token {id}"))),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the disk first: a token that was revoked does not come back with the next start.
    fn change<T>(
        &self,
        edit: impl FnOnce(&mut BTreeMap<u32, Kept>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let Some(file) = &self.file else { return Err(no_state("tokens have no place to be kept")) };
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = self.lock().clone();
        let outcome = edit(&mut changed)?;
        write(file, &changed).map_err(|error| {
            let detail = format!("{}: {error}", file.display());
            Problem::new(500, "StateNotWritten", "The tokens could not be written", detail)
        })?;
        *self.lock() = changed;
        Ok(outcome)
    }
}

/// 409: the document names no folder for what has to be kept.
pub(super) fn no_state(detail: &str) -> Problem {
    Problem::new(409, "NoState", "There is no state folder", detail).fix("name a folder in [api] state")
}

fn invalid(detail: String) -> Problem {
    Problem::new(422, "InvalidParameter", "A parameter is not valid", detail)
}

/// The number of a token's name: 8 digits, written in one way only.
fn id_of(text: &str) -> Option<u32> {
    let written = text.len() == 8 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    written.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

fn digest(shown: &str) -> String {
    hexadecimal(&Sha256::digest(shown.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let read = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += read.map_err(|error| Problem::new(500, "Internal", "Internal error", error.to_string()))?;
    }
    Ok(bytes)
}

fn read(file: &Path) -> io::Result<BTreeMap<u32, Kept>> {
    let Some(text) = kept::read_private(file)? else { return Ok(BTreeMap::new()) };
    let broken = |what: &dyn std::fmt::Display| io::Error::other(format!("{}: {what}", file.display()));
    let list: Vec<Kept> = serde_json::from_str(&text).map_err(|error| broken(&error))?;
    let numbered = list.into_iter().map(|kept| Some((id_of(&kept.token.id)?, kept)));
    numbered.collect::<Option<_>>().ok_or_else(|| broken(&"a token without a number"))
}

fn write(file: &Path, kept: &BTreeMap<u32, Kept>) -> io::Result<()> {
    let list: Vec<&Kept> = kept.values().collect();
    kept::write(file, &serde_json::to_vec_pretty(&list)?, kept::PRIVATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn request(role: Role) -> TokenRequest {
        TokenRequest { name: "monitoring".into(), role, days: 1 }
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked_and_survives_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = Tokens::load(Some(folder.path())).expect("none yet");
        let made = tokens.create(&request(Role::Operator), 1000).expect("made");
        let id = id_of(&made.token.id).expect("a number");
        assert_eq!(tokens.check(&made.secret, 1001), Some((id, Role::Operator)));
        assert_eq!(tokens.check(&made.secret, 1000 + DAY), None, "expired");
        let again = Tokens::load(Some(folder.path())).expect("read");
        assert_eq!(again.check(&made.secret, 1001), Some((id, Role::Operator)));
        again.revoke(&made.token.id).expect("revoked");
        assert_eq!(again.check(&made.secret, 1001), None);
        let after = Tokens::load(Some(folder.path())).expect("read");
        assert!(after.list().is_empty() && after.revoke(&made.token.id).is_err());
    }

    #[test]
    fn nothing_else_is_a_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = Tokens::load(Some(folder.path())).expect("none yet");
        let made = tokens.create(&request(Role::Admin), 0).expect("made");
        let longer = format!("{}0", made.secret);
        let upper = made.secret.to_uppercase();
        let other = made.secret.replace(&made.token.id, "00000000");
        let cut = &made.secret[..made.secret.len() - 1];
        for shown in ["", "esplanade_", "esplanade__", &longer, &upper, &other, cut, &made.token.id] {
            assert_eq!(tokens.check(shown, 1), None, "{shown}");
        }
    }

    #[test]
    fn the_file_has_no_secret_and_no_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = Tokens::load(Some(folder.path())).expect("none yet");
        let made = tokens.create(&request(Role::Viewer), 0).expect("made");
        let file = folder.path().join("tokens.json");
        let text = std::fs::read_to_string(&file).expect("read");
        let secret = made.secret.rsplit('_').next().expect("a secret");
        assert!(
            secret.len() == 2 * SECRET_LEN && !text.contains(secret) && !format!("{made:?}").contains(secret)
        );
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode));
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        mode(0o640).expect("set");
        assert!(Tokens::load(Some(folder.path())).is_err());
    }

    #[test]
    fn tokens_need_a_name_a_time_and_a_place() {
        let nowhere = Tokens::load(None).expect("none");
        assert_eq!(&*nowhere.create(&request(Role::Viewer), 0).expect_err("refused").code, "NoState");
        for (name, days) in [("", 1), ("a\nb", 1), (&*"a".repeat(65), 1), ("a", 0), ("a", 3651)] {
            let request = TokenRequest { name: name.into(), role: Role::Viewer, days };
            assert_eq!(nowhere.create(&request, 0).expect_err("refused").status, 422, "{name:?} {days}");
        }
    }
}
