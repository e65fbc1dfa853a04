//! The users of a server, kept as documents.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_runtime::Clock;
use levada_store::{DocumentError, Documents, Range, Write};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::credentials::Credentials;
use super::privilege::{Permission, resource};
use super::token;
use crate::error::ApiError;

const SPACE: &str = "users";
/// Rights of subscriptions; never listed.
const SUBSCRIPTIONS: &str = "subscription-tokens";
/// Passwords that are checked at a time: each takes a core for a while.
const CHECKS_MAX: usize = 2;
/// Passwords remembered as good.
const CACHE_MAX: usize = 10_000;
/// Longer passwords are refused: bcrypt would ignore what follows.
const PASSWORD_BYTES_MAX: usize = 72;

/// How users are kept.
#[derive(Clone, Debug)]
pub struct UsersSettings {
    /// The cost of a password's hash, 4 to 31.
    pub bcrypt_cost: u32,
    /// How long a good password is remembered.
    pub cache: Duration,
    /// The secret that tokens are signed with; nothing means tokens are refused.
    pub shared_secret: Option<Vec<u8>>,
}

/// The users of a server.
pub struct Users {
    documents: Arc<dyn Documents>,
    clock: Arc<dyn Clock>,
    settings: UsersSettings,
    checks: Semaphore,
    cache: Mutex<HashMap<String, Good>>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// Whether there is anything it may not do.
    #[serde(rename = "type")]
    pub kind: UserKind,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// The databases its points may go to; empty means every one. Ours.
    #[serde(default)]
    pub databases: Vec<String>,
    hash: String,
}

/// Whether there is anything a user may not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserKind {
    /// It may do what its permissions say.
    #[default]
    Normal,
    /// It may do everything.
    Admin,
}

/// A user that is to be made, or what of one is to be changed.
#[derive(Clone, Default)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Option<String>,
    /// The kind.
    pub kind: Option<UserKind>,
    /// What it may do.
    pub permissions: Option<Vec<Permission>>,
    /// The databases its points may go to.
    pub databases: Option<Vec<String>>,
}

/// What went wrong with users.
#[derive(Debug, Error)]
pub enum UserError {
    /// Who it is cannot be said; the text of 401.
    #[error("{0}")]
    Refused(String),
    /// There is no such user.
    #[error("no user exists")]
    Unknown,
    /// It cannot be made or changed; the text of 400.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be made or changed; the text of 500.
    #[error("failed to create user: {0}")]
    Failed(String),
    /// The store does not do what it should.
    #[error(transparent)]
    Store(#[from] DocumentError),
}

/// A password that was good.
struct Good {
    version: u64,
    salt: [u8; 16],
    digest: [u8; 32],
    until: Duration,
}

// === impl User ===

impl User {
    /// Tells whether it may use the resource of a path. All actions are granted alike.
    pub fn may(&self, path: &str) -> bool {
        let resource = resource(path);
        self.kind == UserKind::Admin
            || self.permissions.iter().any(|permission| permission.allows(&resource))
    }

    /// Tells whether it may write points to a database.
    pub fn may_write(&self, database: &str) -> bool {
        let is_bound = || !self.databases.is_empty();
        self.kind == UserKind::Admin
            || self.permissions.iter().any(|permission| permission.allows_points())
                && (!is_bound() || self.databases.iter().any(|allowed| allowed == database))
    }
}

// === impl Users ===

impl Users {
    /// Makes the door to the users in a store.
    pub fn new(
        documents: Arc<dyn Documents>,
        clock: Arc<dyn Clock>,
        settings: UsersSettings,
    ) -> Self {
        let (checks, cache) = (Semaphore::new(CHECKS_MAX), Mutex::default());
        Users { documents, clock, settings, checks, cache }
    }

    /// Finds out who somebody is.
    ///
    /// - Errors: [`UserError::Refused`].
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<User, UserError> {
        let failed = || UserError::Refused("authorization failed".to_owned());
        match credentials {
            Credentials::Password { name, password } => {
                // An unknown name costs as much as a wrong password: neither tells which it was.
                let found = self.documents.get(SPACE, name).await?;
                let (user, version) = match found {
                    Some(found) => (Some(read(&found.value)?), found.version),
                    None => (None, 0),
                };
                let is_good = self.check(name, password, user.as_ref(), version).await?;
                user.filter(|_| is_good).ok_or_else(failed)
            }
            Credentials::Bearer(text) => {
                let refused = |text: String| UserError::Refused(text);
                let Some(secret) = &self.settings.shared_secret else {
                    return Err(refused("invalid token: no shared secret is set".to_owned()));
                };
                let name = token::verify(text, secret, self.clock.now())
                    .map_err(|error| refused(error.to_string()))?;
                self.get(&name).await?.ok_or_else(failed)
            }
            Credentials::Subscription(token) => {
                let database = self.subscription(token).await?;
                database
                    .map(|database| User::subscription(&database))
                    .ok_or_else(|| UserError::Refused("invalid subscription token".to_owned()))
            }
        }
    }

    async fn check(
        &self,
        name: &str,
        password: &str,
        user: Option<&User>,
        version: u64,
    ) -> Result<bool, UserError> {
        let now = self.clock.monotonic();
        if let Some(good) = self.lock().get(name)
            && (good.version, good.until > now) == (version, true)
            && subtle_eq(&good.digest, &sum(&good.salt, password))
        {
            return Ok(true);
        }
        // The hash of nobody: of an empty password at the cost of the settings, which no user has.
        let hash = match user {
            Some(user) => user.hash.clone(),
            None => format!("$2b${:02}${}", self.settings.bcrypt_cost, ".".repeat(53)),
        };
        let Ok(_slot) = self.checks.acquire().await else { return Ok(false) };
        let is_good = tokio::task::block_in_place(|| bcrypt::verify(password, &hash));
        let is_good = user.is_some() && is_good.unwrap_or(false);
        if is_good {
            let salt = *uuid::Uuid::new_v4().as_bytes();
            let until = now + self.settings.cache;
            let mut cache = self.lock();
            if cache.len() >= CACHE_MAX {
                cache.clear();
            }
            let good = Good { version, salt, digest: sum(&salt, password), until };
            cache.insert(name.to_owned(), good);
        }
        Ok(is_good)
    }

    /// Gives a user.
    pub async fn get(&self, name: &str) -> Result<Option<User>, UserError> {
        if let Some(database) = name.strip_prefix(SUBSCRIBER_NAME) {
            return Ok(Some(User::subscription(database)));
        }
        let found = self.documents.get(SPACE, name).await?;
        found.map(|found| read(&found.value)).transpose()
    }

    /// Gives all users, sorted by name.
    pub async fn list(&self) -> Result<Vec<User>, UserError> {
        let found = self.documents.list(SPACE, Range::default()).await?;
        found.iter().map(|found| read(&found.value)).collect()
    }

    /// Makes a user.
    ///
    /// - Errors: [`UserError::Invalid`] and [`UserError::Failed`].
    pub async fn create(&self, new: NewUser) -> Result<User, UserError> {
        check_name(&new.name)?;
        let Some(password) = new.password.filter(|password| !password.is_empty()) else {
            return Err(UserError::Invalid("password is required".to_owned()));
        };
        let user = User {
            name: new.name,
            kind: new.kind.unwrap_or_default(),
            permissions: new.permissions.unwrap_or_default(),
            databases: new.databases.unwrap_or_default(),
            hash: self.hash(&password).await?,
        };
        let write = Write::create(SPACE, &*user.name, text_of(&user)?);
        match self.documents.apply(vec![write]).await {
            Err(DocumentError::Conflict { .. }) => {
                Err(UserError::Failed("user already exists".to_owned()))
            }
            done => Ok(done.map(|()| user)?),
        }
    }

    /// Changes a user; what is nothing stays.
    ///
    /// - Errors: [`UserError::Unknown`], and those of [`Users::create`].
    pub async fn update(&self, change: NewUser) -> Result<User, UserError> {
        let found = self.documents.get(SPACE, &change.name).await?.ok_or(UserError::Unknown)?;
        let mut user = read(&found.value)?;
        if let Some(password) = change.password.filter(|password| !password.is_empty()) {
            user.hash = self.hash(&password).await?;
        }
        user.kind = change.kind.unwrap_or(user.kind);
        user.permissions = change.permissions.unwrap_or(user.permissions);
        user.databases = change.databases.unwrap_or(user.databases);
        let write = Write::replace(SPACE, &*user.name, found.version, text_of(&user)?);
        match self.documents.apply(vec![write]).await {
            Err(error @ DocumentError::Conflict { .. }) => {
                Err(UserError::Failed(error.to_string()))
            }
            done => Ok(done.map(|()| user)?),
        }
    }

    /// Deletes a user, if there is one.
    pub async fn delete(&self, name: &str) -> Result<(), UserError> {
        Ok(self.documents.apply(vec![Write::delete(SPACE, name)]).await?)
    }

    /// Lets a token write points to one database, as the subscription of a cluster.
    pub async fn grant_subscription(
        &self,
        token: &str,
        cluster: &str,
        database: &str,
    ) -> Result<(), UserError> {
        let grant = Grant { cluster: cluster.to_owned(), database: database.to_owned() };
        let value = serde_json::to_vec(&grant).map_err(|e| UserError::Failed(e.to_string()))?;
        let write = Write::put(SUBSCRIPTIONS, digest(&[], token), value);
        Ok(self.documents.apply(vec![write]).await?)
    }

    /// Gives the database that a token may write to, nothing when it has no rights.
    pub async fn subscription(&self, token: &str) -> Result<Option<String>, UserError> {
        let found = self.documents.get(SUBSCRIPTIONS, &digest(&[], token)).await?;
        let grant = found.map(|found| read_grant(&found.value)).transpose()?;
        Ok(grant.map(|grant| grant.database))
    }

    /// Ends the rights of a token.
    pub async fn revoke_subscription(&self, token: &str) -> Result<(), UserError> {
        let write = Write::delete(SUBSCRIPTIONS, digest(&[], token));
        Ok(self.documents.apply(vec![write]).await?)
    }

    /// Ends the rights of all tokens of a cluster but these; gives how many ended.
    pub async fn keep_subscriptions(
        &self,
        cluster: &str,
        tokens: &[String],
    ) -> Result<usize, UserError> {
        let kept: HashSet<String> = tokens.iter().map(|token| digest(&[], token)).collect();
        let mut writes = Vec::new();
        for found in self.documents.list(SUBSCRIPTIONS, Range::default()).await? {
            if read_grant(&found.value)?.cluster == cluster && !kept.contains(&*found.key) {
                writes.push(Write::delete(SUBSCRIPTIONS, &*found.key));
            }
        }
        let ended = writes.len();
        if ended > 0 {
            self.documents.apply(writes).await?;
        }
        Ok(ended)
    }

    async fn hash(&self, password: &str) -> Result<String, UserError> {
        if password.len() > PASSWORD_BYTES_MAX {
            let text = format!("password has more than {PASSWORD_BYTES_MAX} bytes");
            return Err(UserError::Invalid(text));
        }
        let Ok(_slot) = self.checks.acquire().await else {
            return Err(UserError::Failed("the server stops".to_owned()));
        };
        let cost = self.settings.bcrypt_cost;
        tokio::task::block_in_place(|| bcrypt::hash(password, cost))
            .map_err(|error| UserError::Failed(error.to_string()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Good>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom subscriptions write as, in front of their database. No user can have such a name.
const SUBSCRIBER_NAME: &str = "~subscriber:";

/// The rights of a token.
#[derive(Serialize, Deserialize)]
struct Grant {
    cluster: String,
    database: String,
}

impl User {
    fn subscription(database: &str) -> Self {
        User {
            name: format!("{SUBSCRIBER_NAME}{database}"),
            kind: UserKind::Normal,
            permissions: vec![Permission::WritePoints],
            databases: vec![database.to_owned()],
            hash: String::new(),
        }
    }
}

fn check_name(name: &str) -> Result<(), UserError> {
    let is_fine = |character: char| {
        character.is_alphabetic() || character.is_ascii_digit() || "-.@_".contains(character)
    };
    match name {
        "" => Err(UserError::Invalid("username is required".to_owned())),
        name if !name.chars().all(is_fine) => Err(UserError::Invalid(format!(
            "username must contain only letters, numbers, '-', '.', '@' and '_'. {name:?}"
        ))),
        _ => Ok(()),
    }
}

fn read(value: &[u8]) -> Result<User, UserError> {
    serde_json::from_slice(value)
        .map_err(|error| UserError::Failed(format!("a stored user cannot be read: {error}")))
}

fn read_grant(value: &[u8]) -> Result<Grant, UserError> {
    serde_json::from_slice(value)
        .map_err(|error| UserError::Failed(format!("a stored token cannot be read: {error}")))
}

fn text_of(user: &User) -> Result<Vec<u8>, UserError> {
    serde_json::to_vec(user).map_err(|error| UserError::Failed(error.to_string()))
}

fn sum(salt: &[u8], text: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(text).finalize().into()
}

fn digest(salt: &[u8], text: &str) -> String {
    sum(salt, text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares in a time that does not tell where they differ.
fn subtle_eq(left: &[u8], right: &[u8]) -> bool {
    bool::from(subtle::ConstantTimeEq::ct_eq(left, right))
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

// === impl UserError ===

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        let text = error.to_string();
        match error {
            UserError::Refused(_) => ApiError::new(hyper::StatusCode::UNAUTHORIZED, text).compact(),
            UserError::Unknown => ApiError::not_found(text),
            UserError::Invalid(_) => ApiError::bad_request(text),
            UserError::Failed(_) => ApiError::internal(text),
            UserError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use levada_runtime::{SystemClock, Tasks};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn tokens_write_to_one_database_until_they_are_revoked() {
        let documents = levada_store::open_documents("memory:", &Tasks::new()).await.unwrap();
        let settings =
            UsersSettings { bcrypt_cost: 4, cache: Duration::from_secs(1), shared_secret: None };
        let users = Users::new(documents, SystemClock::new(), settings);
        for (token, cluster, database) in [("a", "x", "d"), ("b", "x", "e"), ("c", "y", "d")] {
            users.grant_subscription(token, cluster, database).await.unwrap();
        }
        let user = users.authenticate(&Credentials::Subscription("a".to_owned())).await.unwrap();
        // What is found by its name is the same.
        assert_eq!(users.get(&user.name).await.unwrap().unwrap(), user);
        assert!(user.may_write("d") && !user.may_write("e"));
        assert!(user.may("/kapacitor/v1/write") && !user.may("/kapacitor/v1/tasks"));
        assert_eq!(users.keep_subscriptions("x", &["b".to_owned()]).await.unwrap(), 1);
        assert_eq!(users.subscription("a").await.unwrap(), None);
        assert_eq!(users.subscription("b").await.unwrap().as_deref(), Some("e"));
        assert_eq!(users.subscription("c").await.unwrap().as_deref(), Some("d"));
        users.revoke_subscription("c").await.unwrap();
        let refused = users.authenticate(&Credentials::Subscription("c".to_owned())).await;
        assert_eq!(refused.unwrap_err().to_string(), "invalid subscription token");
    }
}
