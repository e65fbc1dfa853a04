//! Bodies of lines: good ones, ones with a few changes, and heaps of pieces.

/// Numbers that a seed decides.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const NAMES: &[&str] =
    &["m", "cpu", "a\\ b", "a\\,b", "é", "m\\=x", "\"m\"", "a\\b", "a\\\\b", "#m", "m\\\nx"];
const TAG_KEYS: &[&str] = &["t", "u", "host", "t\\ x", "t\\=", "t\\\"", "ü", "t\\\\x", "\"t"];
const TAG_VALUES: &[&str] =
    &["a", "b", "x\\ y", "x\\,y", "\\=", "=z", "ß", "a\\b", "\"q\"", "a\"=,b"];
/// Keys of fields; the values of one key are of one kind, so that the storage has nothing to say.
const FLOAT_KEYS: &[&str] = &["f", "g", "f\\ x", "f\\,x", "f\\=", "\"f\"", "f\\\"", "f\\x"];
const FLOATS: &[&str] = &[
    "1",
    "-1",
    "0",
    "-0",
    "1.5",
    ".5",
    "5.",
    "-.25",
    "1e5",
    "1E-5",
    "1e+20",
    "123456789012345678",
    "0.1",
    "9007199254740993",
    "1.7976931348623157e308",
    "5e-324",
    "1e-400",
    "2.2250738585072011e-308",
    "0.30000000000000004",
    "100000000000000000000000",
    "000.100",
    "123456.789012345678901234567890",
];
const INTS: &[&str] = &[
    "1i",
    "-1i",
    "0i",
    "-0i",
    "9223372036854775807i",
    "-9223372036854775808i",
    "0000000000000000000000012i",
    "123456789012345678i",
    "1234567890123456789i",
];
const BOOLS: &[&str] = &["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"];
const TEXTS: &[&str] = &[
    "\"\"",
    "\"a\"",
    "\"a b,c=d\"",
    "\"a\\\"b\"",
    "\"a\\\\\"",
    "\"a\\b\"",
    "\"x\ny\"",
    "\"é\"",
    "\"\\\\\\\"\"",
    "\"#\n\n\"",
    "\"a\\\nb\"",
    "\"\t\r\"",
    "\"m f=1 1\n\"",
];
const TIMES: &[&str] =
    &["", "", " 1", " 2", " 3", " -5", " 0", "  17 ", " 00012", " -0", " 1000000", " \t4"];
const ENDS: &[&str] = &["\n", "\n", "\n", "\n\n", " \n", "\n# note\n", "\n \t\n", ""];
/// What changes put somewhere.
const PIECES: &[&str] = &[
    ",",
    "=",
    " ",
    "\"",
    "\\",
    "\n",
    "\t",
    "\0",
    "\r",
    "#",
    "-",
    ".",
    "e",
    "i",
    "u",
    "1",
    "t",
    "x",
    "é",
    "\\\\",
    "\\ ",
    "\\,",
    "\\=",
    "\\\"",
    "==",
    ",,",
    "=\"",
    "\"=",
    "+",
    "NaN",
    "inf",
    " 9223372036854775807",
    " 99999999999999999999",
    " -9223372036854775807",
    "9223372036854775808i",
    "1e400",
    ",t=a,t=b",
    ",g=2",
    ",f=2",
    " f=1",
    "m",
    ",t=a",
    "\" \"",
];

/// Makes a body.
pub(crate) fn body(random: &mut Random) -> Vec<u8> {
    let mut body = Vec::new();
    match random.below(8) {
        0 => heap(random, &mut body),
        1 | 2 => lines(random, &mut body),
        _ => {
            lines(random, &mut body);
            for _ in 0..=random.below(3) {
                change(random, &mut body);
            }
        }
    }
    body
}

fn lines(random: &mut Random, out: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        line(random, out);
        out.extend_from_slice(random.pick(ENDS).as_bytes());
    }
}

fn line(random: &mut Random, out: &mut Vec<u8>) {
    if random.below(12) == 0 {
        out.extend_from_slice(random.pick(&[" ", "\t", "\0", "# x\n", "# x=\"\n\" "]).as_bytes());
    }
    // The first two are ordinary, which most names are.
    let common = |random: &mut Random, from: &[&'static str]| match random.below(2) {
        0 => from[random.below(2)],
        _ => random.pick(from),
    };
    let mut text = common(random, NAMES).to_owned();
    for _ in 0..random.below(4) {
        text += &format!(",{}={}", common(random, TAG_KEYS), common(random, TAG_VALUES));
    }
    text += random.pick(&[" ", " ", " ", "  ", " \t"]);
    for index in 0..=random.below(4) {
        let comma = if index == 0 { "" } else { "," };
        let (key, value) = match random.below(5) {
            0 | 1 => (common(random, FLOAT_KEYS), random.pick(FLOATS)),
            2 => (random.pick(&["i", "j\\ k"]), random.pick(INTS)),
            3 => (random.pick(&["b", "c\\,"]), random.pick(BOOLS)),
            _ => (random.pick(&["s", "r\\="]), random.pick(TEXTS)),
        };
        text += &format!("{comma}{key}={value}");
    }
    text += random.pick(TIMES);
    out.extend_from_slice(text.as_bytes());
}

fn heap(random: &mut Random, out: &mut Vec<u8>) {
    for _ in 0..random.below(20) {
        let from = random.pick(&[PIECES, PIECES, NAMES, FLOATS, TEXTS, ENDS]);
        out.extend_from_slice(random.pick(from).as_bytes());
        if random.below(3) == 0 {
            out.extend_from_slice(random.pick(&[" f=1", ",t=", "m ", "s=\"", " 1\n"]).as_bytes());
        }
    }
}

fn change(random: &mut Random, body: &mut Vec<u8>) {
    let at = random.below(body.len() + 1);
    let length = random.below(4).min(body.len() - at);
    match random.below(5) {
        0 => drop(body.drain(at..at + length)),
        1 => {
            let byte = if random.below(4) == 0 {
                random.below(256) as u8
            } else {
                random.pick(b",= \\\"\n")
            };
            body.insert(at, byte);
        }
        2 => {
            let again: Vec<u8> = body[at..at + length].to_vec();
            body.splice(at..at, again);
        }
        3 => drop(body.splice(at..at + length.min(1), random.pick(PIECES).bytes())),
        _ => drop(body.splice(at..at, random.pick(PIECES).bytes())),
    }
}
