//! A mail server that speaks SMTP as the standard has it, and keeps the mails it takes.
//!
//! EHLO, STARTTLS, AUTH PLAIN and LOGIN, MAIL, RCPT, DATA, NOOP, RSET, QUIT (RFC 5321, 3207, 4954). A command out of order is answered as
//! a real server would. A test may choose the answer to a command, let the server hang, and cut its connections.

mod mail;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use mail::ReceivedMail;

/// How often a server that hangs looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

/// What a server offers.
#[derive(Clone, Debug, Default)]
pub struct SmtpOptions {
    /// Offers STARTTLS, with a certificate for `localhost` that nobody signed.
    pub starttls: bool,
    /// Mechanisms of AUTH, such as `PLAIN`; none without a login.
    pub auth: Vec<&'static str>,
    /// Offers AUTH only when the connection is encrypted.
    pub auth_needs_tls: bool,
    /// Who may log in, and how; a login is needed to send mails when there is one.
    pub login: Option<(&'static str, &'static str)>,
}

/// A mail server.
pub struct SmtpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    options: SmtpOptions,
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mails: Vec<ReceivedMail>,
    /// The next answers to a command instead of its own.
    answers: HashMap<&'static str, Vec<&'static str>>,
    /// Commands in the order they came, without what they carry.
    commands: Vec<String>,
    connections: usize,
    open: Vec<TcpStream>,
    is_held: bool,
    is_gone: bool,
}

/// One side of a dialogue.
struct Dialogue {
    shared: Arc<Shared>,
    stream: BufReader<Box<dyn Both>>,
    number: usize,
    is_encrypted: bool,
    is_greeted: bool,
    login: Option<String>,
    from: Option<String>,
    to: Vec<String>,
}

trait Both: Read + Write + Send {}

impl<T: Read + Write + Send> Both for T {}

/// What follows a command.
enum Then {
    GoOn,
    StartTls,
    Quit,
}

// === impl SmtpServer ===

impl SmtpServer {
    /// Starts on a free port of 127.0.0.1.
    pub fn start(options: SmtpOptions) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let tls = options.starttls.then(server_config);
        let shared = Arc::new(Shared { options, tls, state: Mutex::default() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        SmtpServer { address, shared }
    }

    /// Gives its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Gives the mails it took, in order.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.shared.state().mails.clone()
    }

    /// Gives the commands that came, in order, without what they carry.
    pub fn commands(&self) -> Vec<String> {
        self.shared.state().commands.clone()
    }

    /// Gives how many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Gives how many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.state().open.len()
    }

    /// Answers the next command of this name (such as `RCPT`; `.` for the end of a mail) with this line.
    pub fn answer_next(&self, command: &'static str, line: &'static str) {
        self.shared.state().answers.entry(command).or_default().push(line);
    }

    /// Answers nothing any more, or again.
    pub fn hold(&self, is_held: bool) {
        self.shared.state().is_held = is_held;
    }

    /// Closes all connections.
    pub fn cut(&self) {
        for stream in self.shared.state().open.drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.shared.state().is_gone = true;
        self.cut();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn server_config() -> Arc<ServerConfig> {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], PrivateKeyDer::from(private));
    Arc::new(config.unwrap())
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let (shared, kept) = (Arc::clone(shared), stream.try_clone());
        let number = {
            let mut state = shared.state();
            if state.is_gone {
                return;
            }
            state.connections += 1;
            state.open.extend(kept);
            state.connections
        };
        thread::spawn(move || {
            let peer = stream.peer_addr().ok();
            let dialogue = Dialogue {
                shared: Arc::clone(&shared),
                stream: BufReader::new(Box::new(stream)),
                number,
                is_encrypted: false,
                is_greeted: false,
                login: None,
                from: None,
                to: Vec::new(),
            };
            // It ends with the connection, whoever closes it.
            drop(dialogue.run());
            shared.state().open.retain(|open| open.peer_addr().ok() != peer);
        });
    }
}

// === impl Dialogue ===

impl Dialogue {
    fn run(mut self) -> io::Result<()> {
        self.say("220 localhost ESMTP")?;
        loop {
            let line = self.hear()?;
            let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let command = command.to_ascii_uppercase();
            self.shared.state().commands.push(command.clone());
            if let Some(answer) = self.chosen(&command) {
                self.say(answer)?;
                continue;
            }
            match self.obey(&command, rest)? {
                Then::GoOn => {}
                Then::StartTls => self = self.encrypt()?,
                Then::Quit => return Ok(()),
            }
        }
    }

    fn obey(&mut self, command: &str, rest: &str) -> io::Result<Then> {
        let has_login = self.login.is_some() || self.shared.options.login.is_none();
        match command {
            "EHLO" => self.greet()?,
            "QUIT" => {
                self.say("221 bye")?;
                return Ok(Then::Quit);
            }
            "NOOP" => self.say("250 ok")?,
            "RSET" => {
                (self.from, self.to) = (None, Vec::new());
                self.say("250 ok")?;
            }
            _ if !self.is_greeted => self.say("503 say EHLO first")?,
            "STARTTLS" if self.shared.options.starttls && !self.is_encrypted => {
                self.say("220 go ahead")?;
                return Ok(Then::StartTls);
            }
            "AUTH" if self.offers_auth() => self.authenticate(rest)?,
            "MAIL" if !has_login => self.say("530 5.7.0 authentication required")?,
            "MAIL" => {
                self.from = Some(path(rest));
                self.say("250 ok")?;
            }
            "RCPT" if self.from.is_some() => {
                self.to.push(path(rest));
                self.say("250 ok")?;
            }
            "DATA" if !self.to.is_empty() => self.take_mail()?,
            "RCPT" | "DATA" => self.say("503 bad sequence of commands")?,
            _ => self.say("502 command not implemented")?,
        }
        Ok(Then::GoOn)
    }

    fn greet(&mut self) -> io::Result<()> {
        self.is_greeted = true;
        let mut lines = vec!["localhost".to_owned(), "8BITMIME".to_owned()];
        if self.shared.options.starttls && !self.is_encrypted {
            lines.push("STARTTLS".to_owned());
        }
        if self.offers_auth() {
            lines.push(format!("AUTH {}", self.shared.options.auth.join(" ")));
        }
        let last = lines.len() - 1;
        for (index, line) in lines.iter().enumerate() {
            self.say(&format!("250{}{line}", if index < last { '-' } else { ' ' }))?;
        }
        Ok(())
    }

    fn offers_auth(&self) -> bool {
        let options = &self.shared.options;
        !options.auth.is_empty() && (self.is_encrypted || !options.auth_needs_tls)
    }

    fn authenticate(&mut self, rest: &str) -> io::Result<()> {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        if !self.shared.options.auth.contains(&&*mechanism) {
            return self.say("504 unknown mechanism");
        }
        let given = match &*mechanism {
            "PLAIN" => {
                let text = self.challenge("", initial)?;
                let mut parts = text.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            _ => (self.challenge("Username:", initial)?, self.challenge("Password:", "")?),
        };
        let known =
            self.shared.options.login.map(|(user, password)| (user.into(), password.into()));
        if known.as_ref() != Some(&given) {
            return self.say("535 5.7.8 authentication failed");
        }
        self.login = Some(format!("{mechanism} {} {}", given.0, given.1));
        self.say("235 2.7.0 welcome")
    }

    /// Gives what a client says to a challenge, or has said before.
    fn challenge(&mut self, text: &str, said: &str) -> io::Result<String> {
        let answer = match said {
            "" => {
                self.say(&format!("334 {}", BASE64.encode(text)))?;
                self.hear()?
            }
            said => said.to_owned(),
        };
        let bytes = BASE64.decode(answer).map_err(io::Error::other)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    fn take_mail(&mut self) -> io::Result<()> {
        self.say("354 go ahead")?;
        let mut lines = Vec::new();
        loop {
            let line = self.hear()?;
            if line == "." {
                break;
            }
            // Source: RFC 5321, 4.5.2.
            lines.push(line.strip_prefix('.').map(str::to_owned).unwrap_or(line));
        }
        let mail = ReceivedMail {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            text: lines.join("\r\n"),
            was_encrypted: self.is_encrypted,
            login: self.login.clone(),
            connection: self.number,
        };
        if let Some(answer) = self.chosen(".") {
            return self.say(answer);
        }
        self.shared.state().mails.push(mail);
        self.say("250 2.0.0 queued")
    }

    fn encrypt(self) -> io::Result<Self> {
        let config = self.shared.tls.clone().expect("it offers STARTTLS");
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let stream = StreamOwned::new(connection, self.stream.into_inner());
        let stream: BufReader<Box<dyn Both>> = BufReader::new(Box::new(stream));
        Ok(Dialogue { stream, is_encrypted: true, is_greeted: false, login: None, ..self })
    }

    fn chosen(&self, command: &str) -> Option<&'static str> {
        let mut state = self.shared.state();
        let answers = state.answers.get_mut(command)?;
        (!answers.is_empty()).then(|| answers.remove(0))
    }

    fn hear(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8(line).map_err(io::Error::other)?;
        let line = line.strip_suffix("\r\n");
        line.map(str::to_owned).ok_or_else(|| io::Error::other("a line without CRLF"))
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        while self.shared.state().is_held {
            thread::sleep(LOOK);
        }
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        stream.flush()
    }
}

/// Gives the address between angle brackets.
fn path(text: &str) -> String {
    let start = text.find('<').map_or(0, |at| at + 1);
    let end = text.find('>').unwrap_or(text.len());
    text[start..end].to_owned()
}
