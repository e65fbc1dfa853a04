//! Mails over SMTP.
//!
//! ```text
//! send ─▶ a free connection that still answers, or a new one ─▶ MAIL, RCPT, DATA ─▶ kept for the next mail
//!                                                                                        └─▶ closed after `idle_timeout`
//! ```
//! - STARTTLS and AUTH are used when the server offers them; port 465 speaks TLS from the first byte.
//! - A mail is handed over once: whoever calls knows whether to try again.
//! - At most [`CONNECTIONS_MAX`] connections: a server that hangs holds up as many mails, each no longer than its time-out.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lettre::address::{Address, Envelope};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters, TlsParametersBuilder};
use lettre::transport::smtp::extension::ClientId;
use levada_model::ErrorKind;
use levada_runtime::{Clock, TaskKind, Tasks};
use levada_settings::Secret;
use tokio::sync::Semaphore;

use crate::error::ClientError;

/// Connections to one server. Ours: upstream has one, and everybody waits for it.
pub const CONNECTIONS_MAX: usize = 4;

/// Recipients of one mail. Source: RFC 5321, 4.5.3.1.8: so many a server must take.
pub const RECIPIENTS_MAX: usize = 100;

/// The port that speaks TLS from the first byte. Source: RFC 8314.
const TLS_PORT: u16 = 465;

/// How long the parting words of a connection may take.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where mails go and who sends them.
#[derive(Clone, Debug, PartialEq)]
pub struct SmtpSettings {
    /// The name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user; nobody logs in when it is empty.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
    /// Believes any certificate.
    pub insecure_skip_verify: bool,
    /// How long a connection waits for the next mail.
    pub idle_timeout: Duration,
    /// How long a mail may take, connecting included.
    pub timeout: Duration,
}

/// A mail of one HTML page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// The sender, with or without a name.
    pub from: String,
    /// The recipients, with or without names.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The body.
    pub html: String,
}

/// Sends mails to one server; cheap to clone.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    settings: SmtpSettings,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    slots: Semaphore,
    tls: OnceLock<Result<TlsParameters, String>>,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    /// The one that was used last is the last.
    idle: Vec<Idle>,
    is_watched: bool,
}

struct Idle {
    connection: AsyncSmtpConnection,
    /// On the monotonic clock.
    since: Duration,
}

// === impl Mail ===

impl Mail {
    /// Gives who it is from and for, and its text as it goes over the wire.
    ///
    /// Errors: no recipients or too many, or an address that is none.
    fn format(&self) -> Result<(Envelope, Vec<u8>), ClientError> {
        let invalid = |message: String| ClientError::new(ErrorKind::Invalid, message);
        if self.to.is_empty() {
            return Err(invalid("a mail needs recipients".to_owned()));
        }
        if self.to.len() > RECIPIENTS_MAX {
            let count = self.to.len();
            return Err(invalid(format!(
                "a mail for {count} recipients; at most {RECIPIENTS_MAX}"
            )));
        }
        let mailbox = |what: &str, text: &str| {
            let parsed: Result<Mailbox, _> = text.trim().parse();
            parsed.map_err(|error| invalid(format!("invalid {what} address {text:?}: {error}")))
        };
        let from = mailbox("sender", &self.from)?;
        let to: Result<Vec<Mailbox>, ClientError> =
            self.to.iter().map(|text| mailbox("recipient", text)).collect();
        let to = to?;
        let recipients: Vec<Address> = to.iter().map(|mailbox| mailbox.email.clone()).collect();
        let envelope = Envelope::new(Some(from.email.clone()), recipients);
        let envelope = envelope.map_err(|error| invalid(error.to_string()))?;
        // A line end would begin another header.
        let subject: String =
            self.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut builder = lettre::Message::builder().from(from).subject(subject).message_id(None);
        for mailbox in to {
            builder = builder.to(mailbox);
        }
        let body = SinglePart::builder().header(ContentType::TEXT_HTML).body(self.html.clone());
        let message = builder.singlepart(body).map_err(|error| invalid(error.to_string()))?;
        Ok((envelope, message.formatted()))
    }
}

// === impl Mailer ===

impl Mailer {
    /// Makes one; nothing is connected yet.
    pub fn new(settings: SmtpSettings, clock: Arc<dyn Clock>, tasks: Tasks) -> Self {
        Mailer(Arc::new(Inner {
            settings,
            clock,
            tasks,
            slots: Semaphore::new(CONNECTIONS_MAX),
            tls: OnceLock::new(),
            pool: Mutex::default(),
        }))
    }

    /// Sends a mail.
    pub async fn send(&self, mail: &Mail) -> Result<(), ClientError> {
        let (envelope, text) = mail.format()?;
        let inner = &self.0;
        let sent = tokio::time::timeout(inner.settings.timeout, inner.send(&envelope, &text)).await;
        let connection = sent.map_err(|_| {
            let message = format!(
                "`{}` did not take the mail within {:?}",
                inner.settings.target(),
                inner.settings.timeout
            );
            ClientError::new(ErrorKind::Unavailable, message)
        })??;
        self.keep(connection).await;
        Ok(())
    }

    /// Keeps a connection for the next mail.
    async fn keep(&self, connection: AsyncSmtpConnection) {
        if self.0.settings.idle_timeout.is_zero() {
            return quit(connection).await;
        }
        let since = self.0.clock.monotonic();
        let must_watch = {
            let mut pool = self.0.pool();
            pool.idle.push(Idle { connection, since });
            !std::mem::replace(&mut pool.is_watched, true)
        };
        if must_watch {
            self.watch();
        }
    }

    /// Closes connections that have waited for long, until there are none.
    fn watch(&self) {
        let (inner, clock) = (Arc::downgrade(&self.0), Arc::clone(&self.0.clock));
        let idle_timeout = self.0.settings.idle_timeout;
        self.0.tasks.spawn(TaskKind::Alert, "idle mail connections", async move {
            let mut wait = idle_timeout;
            loop {
                clock.sleep(wait).await;
                let Some(inner) = inner.upgrade() else { return };
                let (expired, next) = inner.expired();
                for idle in expired {
                    quit(idle.connection).await;
                }
                match next {
                    Some(next) => wait = next,
                    None => return,
                }
            }
        });
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mailer").field(&self.0.settings).finish()
    }
}

/// Says good-bye; a server that is gone needs none.
async fn quit(mut connection: AsyncSmtpConnection) {
    drop(tokio::time::timeout(QUIT_TIMEOUT, connection.abort()).await);
}

// === impl Inner ===

impl Inner {
    /// Sends a mail and gives the connection it went over.
    async fn send(
        &self,
        envelope: &Envelope,
        text: &[u8],
    ) -> Result<AsyncSmtpConnection, ClientError> {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let mut connection = match self.reuse().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let sent = connection.send(envelope, text).await;
        sent.map_err(|error| self.failed("did not take the mail", error))?;
        Ok(connection)
    }

    /// Gives a connection that waited and still answers.
    async fn reuse(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let mut idle = self.pool().idle.pop()?;
            let age = self.clock.monotonic().saturating_sub(idle.since);
            if age < self.settings.idle_timeout && idle.connection.test_connected().await {
                return Some(idle.connection);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, ClientError> {
        let settings = &self.settings;
        // Source: upstream's mail library names itself so.
        let hello = ClientId::Domain("localhost".to_owned());
        let tls = (settings.port == TLS_PORT).then(|| self.tls()).transpose()?;
        let address = (&*settings.host, settings.port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(address, Some(settings.timeout), &hello, tls, None);
        let mut connection =
            connected.await.map_err(|error| self.failed("cannot be reached", error))?;
        if connection.can_starttls() {
            let secured = connection.starttls(self.tls()?, &hello).await;
            secured.map_err(|error| self.failed("does not speak TLS", error))?;
        }
        if !settings.username.is_empty() {
            self.log_in(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Logs in when the server offers it.
    ///
    /// Source: upstream's mail library: LOGIN only for servers without PLAIN, and PLAIN never in the clear but on this machine.
    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), ClientError> {
        let settings = &self.settings;
        let offers = |mechanism| connection.server_info().supports_auth_mechanism(mechanism);
        let mechanism = match (offers(Mechanism::Plain), offers(Mechanism::Login)) {
            (false, false) => return Ok(()),
            (true, _) => Mechanism::Plain,
            (false, true) => Mechanism::Login,
        };
        let is_local = matches!(&*settings.host, "localhost" | "127.0.0.1" | "::1");
        if mechanism == Mechanism::Plain && !connection.is_encrypted() && !is_local {
            let target = settings.target();
            let message =
                format!("`{target}` offers no encryption: the password is not sent in the clear");
            return Err(ClientError::new(ErrorKind::Unauthorized, message));
        }
        let password = settings.password.expose().clone();
        let credentials = Credentials::new(settings.username.clone(), password);
        match connection.auth(&[mechanism], &credentials).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => {
                let message = format!("`{}` refused the login: {error}", settings.target());
                Err(ClientError::new(ErrorKind::Unauthorized, message))
            }
            Err(error) => Err(self.failed("refused the login", error)),
        }
    }

    /// Gives how TLS is spoken; made once, as the certificates of the system are read for it.
    fn tls(&self) -> Result<TlsParameters, ClientError> {
        let made = self.tls.get_or_init(|| {
            let settings = &self.settings;
            let builder = TlsParametersBuilder::new(settings.host.clone())
                .dangerous_accept_invalid_certs(settings.insecure_skip_verify);
            builder.build_rustls().map_err(|error| error.to_string())
        });
        made.clone().map_err(|text| {
            ClientError::new(ErrorKind::Internal, format!("cannot set up TLS for mails: {text}"))
        })
    }

    fn failed(&self, what: &str, error: SmtpError) -> ClientError {
        // Answers with 5xx are final, everything else may pass.
        let is_final = error.is_permanent() || error.is_client();
        let kind = if is_final { ErrorKind::Invalid } else { ErrorKind::Unavailable };
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            cause = inner.source();
        }
        ClientError::new(kind, format!("`{}` {what}: {text}", self.settings.target()))
    }

    /// Takes out what has waited for too long; gives how long the next one may wait still, nothing when none is left.
    fn expired(&self) -> (Vec<Idle>, Option<Duration>) {
        let (now, limit) = (self.clock.monotonic(), self.settings.idle_timeout);
        let mut pool = self.pool();
        let fresh = pool.idle.iter().position(|idle| now.saturating_sub(idle.since) < limit);
        let count = fresh.unwrap_or(pool.idle.len());
        let expired: Vec<Idle> = pool.idle.drain(..count).collect();
        let next = pool.idle.first().map(|idle| (idle.since + limit).saturating_sub(now));
        pool.is_watched = next.is_some();
        (expired, next)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl SmtpSettings ===

impl SmtpSettings {
    fn target(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests;
