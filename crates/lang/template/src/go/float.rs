//! Floats as `strconv` and `encoding/json` write them.

/// The most digits after the point that a double can fill with something else than zeros.
const DIGITS_MAX: usize = 1100;

/// Writes a float with a verb of `e E f F g G b x X` and a precision; none means the shortest text
/// that gives the same float again.
///
/// The exponent has a sign and at least two digits. `g` takes the exponent form when the exponent
/// is less than -4 or at least the precision (6 for the shortest text).
pub fn format(out: &mut String, value: f64, verb: char, precision: Option<usize>) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    let value = value.abs();
    match verb {
        'e' | 'E' => {
            exponent_form(out, &Digits::of(value, precision.map(|p| p + 1)), verb, precision)
        }
        'f' | 'F' => plain_form(out, value, precision),
        'b' => binary_form(out, value),
        'x' | 'X' => hex_form(out, value, verb, precision),
        _ => general_form(out, value, verb, precision),
    }
}

/// Writes a float as `%v` and `print` do.
pub fn print(out: &mut String, value: f64) {
    format(out, value, 'g', None);
}

/// Writes a float as `encoding/json` does: the exponent form only below 1e-6 and from 1e21 on, and
/// `e-07` as `e-7`.
///
/// NaN and infinities have no JSON; the caller decides what to write.
pub fn json(out: &mut String, value: f64) {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format(out, value, 'f', None);
    }
    let start = out.len();
    format(out, value, 'e', None);
    let text = &out[start..];
    if text.len() >= 4 && text.as_bytes()[text.len() - 4..].starts_with(b"e-0") {
        let last = out.pop();
        out.pop();
        out.extend(last);
    }
}

/// The decimal digits of a float: `d.ddd × 10^exponent`.
struct Digits {
    digits: String,
    exponent: i32,
}

impl Digits {
    /// Takes so many digits, or as many as are needed.
    fn of(value: f64, count: Option<usize>) -> Self {
        let text = match count {
            Some(count) => {
                format!("{value:.precision$e}", precision = count.clamp(1, DIGITS_MAX) - 1)
            }
            None => format!("{value:e}"),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        Digits {
            digits: mantissa.chars().filter(|c| *c != '.').collect(),
            exponent: exponent.parse().unwrap_or(0),
        }
    }
}

fn exponent_form(out: &mut String, digits: &Digits, verb: char, precision: Option<usize>) {
    out.push_str(&digits.digits[..1]);
    let rest = &digits.digits[1..];
    let wanted = precision.unwrap_or(rest.len());
    if wanted > 0 {
        out.push('.');
        out.push_str(&rest[..rest.len().min(wanted)]);
        out.extend(std::iter::repeat_n('0', wanted.saturating_sub(rest.len())));
    }
    out.push(if verb == 'E' || verb == 'G' { 'E' } else { 'e' });
    push_exponent(out, digits.exponent);
}

fn push_exponent(out: &mut String, exponent: i32) {
    out.push(if exponent < 0 { '-' } else { '+' });
    let size = exponent.unsigned_abs();
    if size < 10 {
        out.push('0');
    }
    out.push_str(itoa::Buffer::new().format(size));
}

fn plain_form(out: &mut String, value: f64, precision: Option<usize>) {
    let Some(precision) = precision else {
        // Display of a float is the shortest text and never an exponent.
        out.push_str(&format!("{value}"));
        return;
    };
    let digits = precision.min(DIGITS_MAX);
    out.push_str(&format!("{value:.digits$}"));
    out.extend(std::iter::repeat_n('0', precision - digits));
}

fn general_form(out: &mut String, value: f64, verb: char, precision: Option<usize>) {
    let precision = precision.map(|precision| precision.max(1));
    let mut digits = Digits::of(value, precision);
    let kept = digits.digits.trim_end_matches('0').len().max(1);
    digits.digits.truncate(kept);
    let limit = match precision {
        None => 6,
        // Digits that are not there do not count: 100000 with `%.8g` has no exponent either way.
        Some(precision) => {
            let point = digits.exponent + 1;
            if precision > kept && kept as i32 >= point { kept.max(1) } else { precision }
        }
    };
    let limit = if precision.is_none() { 21.min(limit) } else { limit };
    if digits.exponent < -4 || digits.exponent >= limit as i32 {
        return exponent_form(out, &digits, verb, Some(kept - 1));
    }
    if digits.exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-digits.exponent - 1) as usize));
        out.push_str(&digits.digits);
        return;
    }
    let whole = digits.exponent as usize + 1;
    if kept <= whole {
        out.push_str(&digits.digits);
        out.extend(std::iter::repeat_n('0', whole - kept));
    } else {
        out.push_str(&digits.digits[..whole]);
        out.push('.');
        out.push_str(&digits.digits[whole..]);
    }
}

/// Gives mantissa and power of two: `value = mantissa × 2^power`.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | (1 << 52), exponent - 1075) }
}

fn binary_form(out: &mut String, value: f64) {
    let (mantissa, power) = parts(value);
    out.push_str(itoa::Buffer::new().format(mantissa));
    out.push('p');
    out.push(if power < 0 { '-' } else { '+' });
    out.push_str(itoa::Buffer::new().format(power.unsigned_abs()));
}

fn hex_form(out: &mut String, value: f64, verb: char, precision: Option<usize>) {
    let (mut mantissa, mut power) = parts(value);
    if mantissa == 0 {
        power = 0;
    } else {
        let shift = mantissa.leading_zeros() - 11;
        mantissa <<= shift;
        power += 52 - shift as i32;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 13) {
        let dropped = 52 - 4 * precision as u32;
        let half = 1_u64 << (dropped - 1);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 53 == 1 {
            mantissa >>= 1;
            power += 1;
        }
    }
    let start = out.len();
    out.push_str(if mantissa == 0 { "0x0" } else { "0x1" });
    let fraction = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let shown = match precision {
        None => fraction.trim_end_matches('0').len(),
        Some(precision) => precision.min(13),
    };
    if shown > 0 || precision.is_some_and(|precision| precision > 0) {
        out.push('.');
        out.push_str(&fraction[..shown]);
        out.extend(std::iter::repeat_n('0', precision.unwrap_or(0).saturating_sub(13)));
    }
    out.push('p');
    push_exponent(out, power);
    if verb == 'X' {
        let upper = out[start..].to_ascii_uppercase();
        out.replace_range(start.., &upper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut String, f64), cases: &[(f64, &str)]) {
        for (value, expected) in cases {
            let mut out = String::new();
            write(&mut out, *value);
            assert_eq!(&out, expected, "{value:?}");
        }
    }

    #[test]
    fn values_print_as_the_reference_says() {
        check(
            print,
            &[
                (999999.0, "999999"),
                (1_000_000.0, "1e+06"),
                (1_234_567.0, "1.234567e+06"),
                (123456.5, "123456.5"),
                (123_456_789.5, "1.234567895e+08"),
                (0.0001, "0.0001"),
                (0.00001234, "1.234e-05"),
                (f64::INFINITY, "+Inf"),
                (f64::NEG_INFINITY, "-Inf"),
                (f64::NAN, "NaN"),
                (-0.0, "-0"),
                (61.0, "61"),
                (1e100, "1e+100"),
            ],
        );
    }

    #[test]
    fn json_keeps_the_plain_form_longer() {
        check(
            json,
            &[
                (1e20, "100000000000000000000"),
                (1e21, "1e+21"),
                (1e-6, "0.000001"),
                (1e-7, "1e-7"),
                (1.5e-10, "1.5e-10"),
                (-1e-9, "-1e-9"),
                (0.0, "0"),
                (61.5, "61.5"),
            ],
        );
    }
}
