//! A function for tests: their own binary, started again behind a shell, or a thread behind a socket.
//!
//! What it does is said by its kind:
//!
//! | kind | edges | what it does |
//! |---|---|---|
//! | `copy`, `count` | stream → stream | gives each point back, with how many it has seen and its options; `count` keeps the number as its state |
//! | `batch` | batch → batch | gives each batch back, the last point first |
//! | `pairs` | stream → batch | makes a batch of each two points |
//! | `sum` | batch → stream | adds up the first field |
//! | `late` | stream → stream | gives everything at its end |
//! | `slow` | stream → stream | takes a millisecond for each point |
//! | `refuse`, `error`, `crash`, `hang`, `huge`, `liar` | stream → stream | goes wrong at its start, or at the first point |
//! | `silent`, `dumb` | | does not say what it is: it says nothing, or ends |

use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use levada_codec::udf::{
    Begin, EdgeKind, End, Frames, Info, Init, Outcome, Point, Request, Response, ValueType,
};
use levada_model::FieldValue;

/// Says which function the binary is to be.
const VARIABLE: &str = "TESTED_FUNCTION";

/// How the binary of a test is started as a function.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variable: name and value.
    pub env: (String, String),
}

/// Gives the binary of this test as the function `kind`; its test `test` calls [`run`].
///
/// - The protocol is on descriptor 3 of the binary, for tests print to 1.
pub fn program(test: &str, kind: &str) -> Program {
    let binary = std::env::current_exe().unwrap();
    let script = "exec \"$0\" --exact \"$1\" --nocapture 3>&1 1>/dev/null";
    let args = ["-c", script, binary.to_str().unwrap(), test];
    Program {
        program: "sh".to_owned(),
        args: args.map(str::to_owned).into(),
        env: (VARIABLE.to_owned(), kind.to_owned()),
    }
}

/// Makes this process the function that it was started as; does nothing in a test run.
pub fn run() {
    let Ok(kind) = std::env::var(VARIABLE) else { return };
    let output = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").unwrap();
    Function::new(&kind, output).run(io::stdin()).unwrap();
}

/// Listens at a socket and is the function `kind` for everybody who comes.
pub fn listen(path: &Path, kind: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || {
                let output = stream.try_clone().unwrap();
                // Whoever came may go.
                Function::new(kind, output).run(stream).ok();
            });
        }
    });
}

/// What it is, and what it holds.
struct Function<W> {
    kind: String,
    output: W,
    options: Vec<String>,
    seen: u64,
    held: Vec<Point>,
    begin: Option<Begin>,
}

impl<W: Write> Function<W> {
    fn new(kind: &str, output: W) -> Self {
        let kind = kind.to_owned();
        Function { kind, output, options: Vec::new(), seen: 0, held: Vec::new(), begin: None }
    }

    fn run(mut self, mut input: impl Read) -> io::Result<()> {
        let mut frames = Frames::new(1 << 24);
        let mut buffer = vec![0; 1 << 12];
        loop {
            let count = input.read(&mut buffer)?;
            if count == 0 {
                return self.end();
            }
            frames.push(&buffer[..count]);
            while let Some(frame) = frames.next_frame().unwrap() {
                let request = Request::read(frame).unwrap();
                self.take(request)?;
            }
        }
    }

    fn say(&mut self, response: &Response) -> io::Result<()> {
        let mut bytes = Vec::new();
        response.append(&mut bytes);
        self.output.write_all(&bytes)?;
        self.output.flush()
    }

    fn take(&mut self, request: Request) -> io::Result<()> {
        match request {
            Request::Info => self.info(),
            Request::Init(init) => self.init(init),
            Request::Keepalive { time } => self.say(&Response::Keepalive { time }),
            Request::Snapshot => {
                let snapshot = match self.kind.as_str() {
                    "count" => self.seen.to_string().into_bytes(),
                    _ => Vec::new(),
                };
                self.say(&Response::Snapshot { snapshot })
            }
            Request::Restore { snapshot } => {
                let text = String::from_utf8(snapshot).unwrap();
                let success = self.kind == "count";
                self.seen = text.parse().unwrap_or(0);
                let error = if success { "" } else { "there was nothing to give back" };
                self.say(&Response::Restore(Outcome { success, error: error.to_owned() }))
            }
            Request::Begin(begin) => {
                self.begin = Some(begin);
                Ok(())
            }
            Request::Point(point) => self.point(point),
            Request::End(end) => self.batch(end),
        }
    }

    fn info(&mut self) -> io::Result<()> {
        let (wants, provides) = match self.kind.as_str() {
            "batch" => (EdgeKind::Batch, EdgeKind::Batch),
            "pairs" => (EdgeKind::Stream, EdgeKind::Batch),
            "sum" => (EdgeKind::Batch, EdgeKind::Stream),
            "silent" => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            "dumb" => std::process::exit(4),
            _ => (EdgeKind::Stream, EdgeKind::Stream),
        };
        let options = vec![
            ("flag".to_owned(), vec![ValueType::Bool]),
            ("many".to_owned(), vec![ValueType::Int, ValueType::Double, ValueType::String]),
            ("none".to_owned(), vec![]),
            ("wait".to_owned(), vec![ValueType::Duration]),
        ];
        self.say(&Response::Info(Info { wants, provides, options }))
    }

    fn init(&mut self, init: Init) -> io::Result<()> {
        let options = init.options.into_iter();
        self.options =
            options.map(|option| format!("{}{:?}", option.name, option.values)).collect();
        self.options.push(format!("{} {}", init.task, init.node));
        let success = self.kind != "refuse";
        let error = if success { "" } else { "these options do not go together" };
        self.say(&Response::Init(Outcome { success, error: error.to_owned() }))
    }

    fn point(&mut self, mut point: Point) -> io::Result<()> {
        self.seen += 1;
        if self.begin.is_some() {
            self.held.push(point);
            return Ok(());
        }
        match self.kind.as_str() {
            "error" => self.say(&Response::Error { text: "such points are not taken".to_owned() }),
            "crash" => {
                eprintln!("what a\npity");
                std::process::exit(3);
            }
            "hang" => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            "huge" => {
                self.output.write_all(&[0xff, 0xff, 0xff, 0x7f])?;
                self.output.flush()
            }
            "liar" => {
                let begin = Response::Begin(Begin::default());
                self.say(&begin)
            }
            "late" => {
                self.held.push(point);
                Ok(())
            }
            "pairs" => {
                self.held.push(point);
                if self.held.len() < 2 { Ok(()) } else { self.pair() }
            }
            "slow" => {
                std::thread::sleep(Duration::from_millis(1));
                self.say(&Response::Point(point))
            }
            _ => {
                let seen = FieldValue::Int(self.seen as i64);
                point.fields.push(("seen".into(), seen));
                let options = FieldValue::Str(self.options.join(";").into());
                point.fields.push(("options".into(), options));
                self.say(&Response::Point(point))
            }
        }
    }

    /// Gives the two points it holds as a batch.
    fn pair(&mut self) -> io::Result<()> {
        let points = std::mem::take(&mut self.held);
        let Some(last) = points.last().cloned() else { return Ok(()) };
        let begin = Begin { name: last.name.clone(), by_name: last.by_name, ..Begin::default() };
        self.say(&Response::Begin(begin))?;
        for point in points {
            self.say(&Response::Point(point))?;
        }
        let tags = last.tags.into_iter().filter(|(name, _)| last.dimensions.contains(name));
        let end = End { tmax: last.time + 1, tags: tags.collect(), ..End::default() };
        self.say(&Response::End(end))
    }

    fn batch(&mut self, end: End) -> io::Result<()> {
        let (begin, points) = (self.begin.take().unwrap(), std::mem::take(&mut self.held));
        assert_eq!(begin.size, points.len() as i64);
        if self.kind == "sum" {
            let values = points.iter().filter_map(|point| match point.fields[0].1 {
                FieldValue::Float(number) => Some(number),
                _ => None,
            });
            let sum = FieldValue::Float(values.sum());
            let point = Point {
                time: end.tmax,
                name: begin.name,
                dimensions: begin.tags.iter().map(|(name, _)| name.clone()).collect(),
                tags: begin.tags,
                fields: vec![("sum".into(), sum)],
                ..Point::default()
            };
            return self.say(&Response::Point(point));
        }
        self.say(&Response::Begin(begin))?;
        for point in points.into_iter().rev() {
            self.say(&Response::Point(point))?;
        }
        self.say(&Response::End(end))
    }

    /// Gives what it has kept for the end.
    fn end(&mut self) -> io::Result<()> {
        if self.kind == "late" {
            for point in std::mem::take(&mut self.held) {
                self.say(&Response::Point(point))?;
            }
        }
        Ok(())
    }
}
