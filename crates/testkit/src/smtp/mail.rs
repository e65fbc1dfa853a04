//! A mail as a reader sees it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A mail that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMail {
    /// Who sent it, by the envelope.
    pub from: String,
    /// Who gets it, by the envelope.
    pub to: Vec<String>,
    /// Headers and body, as they came.
    pub text: String,
    /// The connection was encrypted.
    pub was_encrypted: bool,
    /// Mechanism, user and password of the login.
    pub login: Option<String>,
    /// The number of its connection, from 1.
    pub connection: usize,
}

// === impl ReceivedMail ===

impl ReceivedMail {
    /// Gives a header, unfolded and decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        let (headers, _) = self.parts();
        let unfolded = headers.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut found = unfolded.split("\r\n").filter_map(|line| line.split_once(": "));
        let (_, value) = found.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(decode_words(value))
    }

    /// Gives the body, decoded.
    pub fn body(&self) -> String {
        let (_, body) = self.parts();
        let encoding = self.header("Content-Transfer-Encoding").unwrap_or_default();
        let bytes = match &*encoding.to_ascii_lowercase() {
            "quoted-printable" => quoted_printable(&body.replace("=\r\n", ""), false),
            "base64" => BASE64.decode(body.replace("\r\n", "")).unwrap(),
            _ => body.as_bytes().to_vec(),
        };
        String::from_utf8(bytes).unwrap()
    }

    fn parts(&self) -> (&str, &str) {
        self.text.split_once("\r\n\r\n").unwrap_or((&self.text, ""))
    }
}

/// Decodes `=?utf-8?b?…?=` and `=?utf-8?q?…?=`. Source: RFC 2047.
fn decode_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut was_word = false;
    while let Some(start) = rest.find("=?") {
        let mut parts = rest[start + 2..].splitn(4, '?');
        let (Some(charset), Some(kind), Some(content), Some(after)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            break;
        };
        assert!(charset.eq_ignore_ascii_case("utf-8"), "{text}");
        let between = &rest[..start];
        // Blanks between two encoded words are not part of the text.
        if !(was_word && between.trim().is_empty()) {
            out.push_str(between);
        }
        let bytes = match kind {
            "b" | "B" => BASE64.decode(content).unwrap(),
            _ => quoted_printable(content, true),
        };
        out.push_str(&String::from_utf8(bytes).unwrap());
        rest = after.strip_prefix('=').expect("an encoded word ends with `?=`");
        was_word = true;
    }
    out.push_str(rest);
    out
}

fn quoted_printable(text: &str, is_word: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'=' => {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            b'_' if is_word => out.push(b' '),
            byte => out.push(byte),
        }
    }
    out
}
