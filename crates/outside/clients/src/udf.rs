//! Functions that run outside: started as a program, or found at a socket.
//!
//! What travels is messages of [`levada_codec::udf`]; this only opens the two ways.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// Where a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// A program that is started for each node; its standard input and output are the two ways.
    Program {
        /// The program; without a `/` it is searched for as a shell does.
        program: String,
        /// Its arguments.
        args: Vec<String>,
        /// Variables beside those of this process.
        env: Vec<(String, String)>,
    },
    /// A unix socket that somebody listens on; each node is a connection.
    Socket(PathBuf),
}

/// The way to a function.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// The way back.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// An open function.
pub struct Connection {
    /// The way to it; its end is the end of all input.
    pub input: Input,
    /// The way back.
    pub output: Output,
    /// What it says beside, of a program.
    pub errors: Option<Output>,
    /// The program, if it is one.
    pub process: Option<Process>,
}

/// A program that was started; it is killed when this is dropped.
pub struct Process(Child);

// === impl Agent ===

impl Agent {
    /// Opens the function; call it within a tokio runtime.
    ///
    /// - Errors: the program cannot be started, or nobody listens.
    pub async fn open(&self) -> io::Result<Connection> {
        match self {
            Agent::Program { program, args, env } => start(program, args, env),
            Agent::Socket(path) => {
                let (output, input) = UnixStream::connect(path).await?.into_split();
                let (input, output) = (Box::new(input), Box::new(output));
                Ok(Connection { input, output, errors: None, process: None })
            }
        }
    }

    /// Says whether somebody else starts it, so that it may come later.
    pub fn is_socket(&self) -> bool {
        matches!(self, Agent::Socket(_))
    }
}

fn start(program: &str, args: &[String], env: &[(String, String)]) -> io::Result<Connection> {
    let mut child = Command::new(program)
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // An interrupt of the terminal is for this process, which ends its functions in its own time.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let lost = || io::Error::other("a pipe to the program is missing");
    let input = Box::new(child.stdin.take().ok_or_else(lost)?);
    let output = Box::new(child.stdout.take().ok_or_else(lost)?);
    let errors = child.stderr.take().map(|errors| Box::new(errors) as Output);
    Ok(Connection { input, output, errors, process: Some(Process(child)) })
}

// === impl Process ===

impl Process {
    /// Waits for its end.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }

    /// Kills it, with what it has started; [`Process::wait`] takes note of its end.
    pub fn kill(&mut self) -> io::Result<()> {
        let group = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        match group {
            Some(group) => Ok(kill_process_group(group, Signal::KILL)?),
            // It has ended.
            None => Ok(()),
        }
    }

    /// Gives its number while it runs.
    pub fn id(&self) -> Option<u32> {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended meanwhile cannot be killed.
        self.kill().ok();
    }
}
