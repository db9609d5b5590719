//! Checks user names and passwords against bcrypt hashes.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use hyper::Request;
use hyper::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use super::turn::Turns;

/// The hash that unknown users are checked against, so that they take as long as a wrong password.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// The number of correct passwords to remember, so that a scraper's is not hashed each time.
const REMEMBERED: usize = 64;

/// See the module documentation.
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// Digests of correct names and passwords.
    right: Mutex<HashSet<[u8; 32]>>,
    /// Guessing takes at most one CPU.
    turns: Turns,
}

impl Users {
    /// The users in a file.
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self> {
        for (name, hash) in &hashes {
            HashParts::from_str(hash).map_err(|why| {
                anyhow!("the password of {name} is not a bcrypt hash ({why}): make one with htpasswd -nB {name}")
            })?;
        }
        Ok(Self { hashes, right: Mutex::default(), turns: Turns::default() })
    }

    /// Does the request have a valid name and password?
    pub(super) async fn admit(self: &Arc<Self>, request: &Request<()>) -> bool {
        let Some((name, password)) = shown(request) else { return false };
        let hash = self.hashes.get(&name).map_or(NOBODY, String::as_str).to_owned();
        let is_known = self.hashes.contains_key(&name);
        let digest = digest(&[name.as_bytes(), password.as_bytes(), hash.as_bytes()]);
        if self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return true;
        }
        let checked = self.turns.wait(move || bcrypt::verify(password, &hash)).await;
        let is_right = is_known && matches!(checked, Ok(Ok(true)));
        if is_right {
            let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(digest);
        }
        is_right
    }
}

/// Hashes each part with its length, so that different lists never have the same input.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    sum.finalize().into()
}

/// The name and password of a request.
fn shown(request: &Request<()>) -> Option<(String, String)> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(text.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{NOBODY, Users};
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use hyper::Request;
    use std::str::FromStr as _;
    use std::sync::Arc;

    /// A hash made by crypt(3) of the C library.
    const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    fn users() -> Arc<Users> {
        let users = [("alice".to_owned(), SECRET.to_owned())];
        Arc::new(Users::new(users.into_iter().collect()).unwrap())
    }

    fn admits(users: &Arc<Users>, header: Option<&str>) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut request = Request::builder();
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        runtime.block_on(users.admit(&request.body(()).unwrap()))
    }

    #[test]
    fn only_a_name_with_its_password_is_admitted() {
        let users = users();
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for (text, outcome) in [
            ("alice:secret", true),
            ("alice:secret", true),
            ("alice:wrong", false),
            ("alice:", false),
            ("bob:secret", false),
            ("alice", false),
        ] {
            assert_eq!(admits(&users, Some(&basic(text))), outcome, "{text}");
        }
        assert!(!admits(&users, None) && !admits(&users, Some("Bearer secret")));
        assert!(!admits(&users, Some("Basic !")));
        assert_eq!(users.right.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_hash_of_nobody_takes_as_long_as_any() {
        assert_eq!(bcrypt::HashParts::from_str(NOBODY).unwrap().get_cost(), 10);
    }
}
