//! Section 2.6, function by function.

use jiff::tz::TimeZone;

use super::*;
use crate::lambda::functions::FAMILIES;

#[test]
fn mathematics() {
    check(
        value,
        &[
            ("log(0.0)", "", "float -Inf"),
            ("sqrt(-1.0)", "", "float NaN"),
            ("gamma(5.0)", "", "float 24"),
            ("logb(8.0)", "", "float 3"),
            ("logb(0.0)", "", "float -Inf"),
            ("logb(0.3)", "", "float -2"),
            ("jn(1, 2.0)", "", "float 0.5767248077568733"),
            ("j0(0.0)", "", "float 1"),
            ("y0(0.0)", "", "float -Inf"),
            ("erf(0.0)", "", "float 0"),
            ("erfc(0.0)", "", "float 1"),
            ("exp2(10.0)", "", "float 1024"),
            ("cbrt(27.0)", "", "float 3"),
            ("trunc(-1.7)", "", "float -1"),
            ("floor(-1.2)", "", "float -2"),
            ("ceil(-1.2)", "", "float -1"),
            ("hypot(3.0, 4.0)", "", "float 5"),
            ("atan2(0.0, -1.0)", "", "float 3.141592653589793"),
            ("mod(-7.0, 3.0)", "", "float -1"),
            ("mod(7.0, -3.0)", "", "float 1"),
            ("pow(2.0, 10.0)", "", "float 1024"),
            ("max(1.0, float('nan'))", "", "float NaN"),
            ("max(float('inf'), float('nan'))", "", "float +Inf"),
            ("min(float('nan'), 1.0)", "", "float NaN"),
            ("min(-1.0, 2.0)", "", "float -1"),
            ("max(-1.0, 2.0)", "", "float 2"),
            ("pow10(3)", "", "float 1000"),
            ("pow10(-1)", "", "float 0.1"),
            ("pow10(-324)", "", "float 0"),
            ("pow10(309)", "", "float +Inf"),
            ("pow10(308) > pow10(307)", "", "boolean true"),
            ("pow10(-323) > 0.0", "", "boolean true"),
            ("jn(10001, 2.0)", "", "error calling \"jn\": order 10001 is outside [-10000, 10000]"),
            ("jn(10000, 2.0)", "", "float 0"),
            ("yn(-10000, 2.0)", "", "float -Inf"),
        ],
    );
}

#[test]
fn texts() {
    check(
        value,
        &[
            ("strContains('abc', 'bc')", "", "boolean true"),
            ("strContainsAny('abc', 'xyc')", "", "boolean true"),
            ("strContainsAny('abc', '')", "", "boolean false"),
            ("strCount('cheese', 'e')", "", "int 3"),
            ("strCount('aaaa', 'aa')", "", "int 2"),
            ("strCount('héllo', '')", "", "int 6"),
            ("strHasPrefix('abc', 'ab')", "", "boolean true"),
            ("strHasSuffix('abc', 'ab')", "", "boolean false"),
            ("strIndex('chicken', 'ken')", "", "int 4"),
            ("strIndex('chicken', 'x')", "", "int -1"),
            ("strLastIndex('go gopher', 'go')", "", "int 3"),
            ("strIndexAny('golang', 'gy')", "", "int 0"),
            ("strLastIndexAny('éa', 'aé')", "", "int 2"),
            ("strLength('héllo')", "", "int 6"),
            ("strReplace('oink oink oink', 'k', 'ky', 2)", "", "string oinky oinky oink"),
            ("strReplace('oink oink', 'oink', 'moo', -1)", "", "string moo moo"),
            ("strReplace('ab', '', '-', -1)", "", "string -a-b-"),
            ("strReplace('ab', '', '-', 2)", "", "string -a-b"),
            ("strReplace('ab', 'a', 'x', 0)", "", "string ab"),
            ("strSubstring('abcdef', 1, 3)", "", "string bc"),
            ("strSubstring('abcde', 0, 4)", "", "string abcd"),
            (
                "strSubstring('abcde', 0, 5)",
                "",
                "error calling \"strSubstring\": stop index too large for string in strSubstring: 5",
            ),
            (
                "strSubstring('abcde', -1, 2)",
                "",
                "error calling \"strSubstring\": found negative index for strSubstring: -1",
            ),
            ("strSubstring('abcde', 3, 1)", "", "runtime error: slice bounds out of range [3:1]"),
            ("strSubstring('héllo', 0, 2)", "", "string h\u{fffd}"),
            ("strToUpper('straße ﬁ ᾳ')", "", "string STRAßE ﬁ ᾼ"),
            ("strToLower('İABC')", "", "string iabc"),
            ("strTrim('xxabcxx', 'x')", "", "string abc"),
            ("strTrimLeft('xyabcx', 'yx')", "", "string abcx"),
            ("strTrimRight('xabcyx', 'yx')", "", "string xabc"),
            ("strTrimPrefix('prepreabc', 'pre')", "", "string preabc"),
            ("strTrimSuffix('abcfix', 'fix')", "", "string abc"),
            ("strTrimSpace(' \u{a0} abc\n')", "", "string abc"),
            ("regexReplace(/a(x*)b/, '-ab-axxb-', '${1}W')", "", "string -W-xxW-"),
            ("regexReplace(/a(x*)b/, '-ab-axxb-', '$1W')", "", "string ---"),
            ("regexReplace(/a(x*)b/, '-ab-axxb-', '$1')", "", "string --xx-"),
            ("regexReplace(/(?P<n>b)/, 'abc', '[${n}$$1]$')", "", "string a[b$1]$c"),
            ("regexReplace(/a*/, 'baaac', 'x')", "", "string xbxcx"),
            ("regexReplace(/z/, 'abc', 'x')", "", "string abc"),
            ("regexReplace(/(b)/, 'abc', '${1')", "", "string a${1c"),
            ("regexReplace(/(b)/, 'abc', '$01$9')", "", "string ac"),
            ("'a' + 'b' + \"c\"", "c='d'", "string abd"),
        ],
    );
}

#[test]
fn conversions() {
    check(
        value,
        &[
            ("bool('T')", "", "boolean true"),
            ("bool('false')", "", "boolean false"),
            (
                "bool('tRUE')",
                "",
                "error calling \"bool\": strconv.ParseBool: parsing \"tRUE\": invalid syntax",
            ),
            ("bool(1)", "", "boolean true"),
            ("bool(0.0)", "", "boolean false"),
            ("bool(2)", "", "error calling \"bool\": cannot convert 2 to boolean"),
            ("bool(2.5)", "", "error calling \"bool\": cannot convert 2.5 to boolean"),
            ("int(-1.9)", "", "int -1"),
            ("int(TRUE)", "", "int 1"),
            ("int('+7')", "", "int 7"),
            ("int(float('nan'))", "", "int -9223372036854775808"),
            (
                "int('9223372036854775808')",
                "",
                "error calling \"int\": strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
            ),
            (
                "int('1.5')",
                "",
                "error calling \"int\": strconv.ParseInt: parsing \"1.5\": invalid syntax",
            ),
            ("float('1e3')", "", "float 1000"),
            ("float('-inf')", "", "float -Inf"),
            ("float('NaN')", "", "float NaN"),
            ("float('0x1p-2')", "", "float 0.25"),
            ("float('1_0.5')", "", "float 10.5"),
            (
                "float('1e400')",
                "",
                "error calling \"float\": strconv.ParseFloat: parsing \"1e400\": value out of range",
            ),
            (
                "float('')",
                "",
                "error calling \"float\": strconv.ParseFloat: parsing \"\": invalid syntax",
            ),
            ("float(FALSE)", "", "float 0"),
            ("float(3)", "", "float 3"),
            ("string(1.0)", "", "string 1"),
            ("string(0.00001)", "", "string 0.00001"),
            ("string(-7)", "", "string -7"),
            ("string(TRUE)", "", "string true"),
            ("string('x')", "", "string x"),
            ("string(90s)", "", "string 90s"),
            ("string(24h)", "", "string 1d"),
            ("duration(5, 1s)", "", "duration 5s"),
            ("duration(1.5, 1s)", "", "duration 1500ms"),
            ("duration(1m)", "", "duration 1m"),
            ("duration('1h', 1s)", "", "duration 1h"),
            ("duration('1h30m', 1s)", "", "duration 90m"),
            (
                "duration('bad', 1s)",
                "",
                "error calling \"duration\": invalid duration string \"bad\"",
            ),
            (
                "duration('1h')",
                "",
                "Cannot call function \"duration\" with args ('1h': string), available signatures are [(duration), (float,duration), (int,duration), (string,duration)].",
            ),
        ],
    );
}

#[test]
fn choice_presence_and_sizes() {
    check(
        value,
        &[
            ("humanBytes(9)", "", "string 9 B"),
            ("humanBytes(999)", "", "string 999 B"),
            ("humanBytes(1000)", "", "string 1.0 kB"),
            ("humanBytes(1024)", "", "string 1.0 kB"),
            ("humanBytes(82854982)", "", "string 83 MB"),
            ("humanBytes(82854982.0)", "", "string 83 MB"),
            ("humanBytes(9950)", "", "string 10 kB"),
            ("humanBytes(1000000000)", "", "string 1.0 GB"),
            ("humanBytes(9223372036854775807)", "", "string 9.2 EB"),
            (
                "humanBytes(-1)",
                "",
                "error calling \"humanBytes\": cannot show a negative number of bytes: -1",
            ),
            ("humanBytes(18000000000000000000.0)", "", "string 18 EB"),
            (
                "humanBytes(float('nan'))",
                "",
                "error calling \"humanBytes\": not a number of bytes: NaN",
            ),
            (
                "humanBytes(-0.5)",
                "",
                "error calling \"humanBytes\": cannot show a negative number of bytes: -0.5",
            ),
            (
                "humanBytes(100000000000000000000.0 * 10.0)",
                "",
                "error calling \"humanBytes\": not a number of bytes: 1e+21",
            ),
            ("if(FALSE, 1s, 2s)", "", "duration 2s"),
            (
                "if(TRUE, 1, int('x'))",
                "",
                "Failed to handle 3 argument: error calling \"int\": strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            ("if(TRUE, 1, 1 / 0)", "", "runtime error: integer divide by zero"),
            ("hour(if(TRUE, \"time\", now()))", "", "int 10"),
            ("'ab' =~ if(TRUE, /b$/, /x/)", "", "boolean true"),
            ("isPresent('x')", "", "boolean true"),
            ("isPresent(\"x\")", "", "boolean false"),
            (
                "isPresent(1s)",
                "",
                "Cannot call function \"isPresent\" with args (1s: duration), available signatures are [(boolean), (float), (int), (missing), (string)].",
            ),
        ],
    );
}

#[test]
fn times_are_those_of_the_zone() {
    check(
        value,
        &[
            ("unixNano(\"time\")", "", "int 1770460200000000000"),
            ("unixNano(now()) - unixNano(\"time\")", "", "int 0"),
            ("minute(\"time\")", "", "int 30"),
            ("hour(\"time\")", "", "int 10"),
            ("weekday(\"time\")", "", "int 6"),
            ("day(\"time\")", "", "int 7"),
            ("month(\"time\")", "", "int 2"),
            ("year(\"time\")", "", "int 2026"),
            ("year(\"time\")", "time='x' #time=y", "int 2026"),
        ],
    );
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let env = Env { now: TIME, zone };
    let mut evaluator = program("hour(\"time\") * 100 + weekday(now())").evaluator();
    let value = evaluator.value(&point(""), &[], &env, &mut State::default()).unwrap();
    assert_eq!(value, Value::Int(1806));
    let late = Point { time: Timestamp(TIME.0 + 6 * 3_600_000_000_000), ..point("") };
    let mut evaluator = program("weekday(\"time\")").evaluator();
    let value = evaluator.value(&late, &[], &env, &mut State::default()).unwrap();
    assert_eq!(value, Value::Int(0));
}

#[test]
fn every_name_is_there_once_and_no_signature_twice() {
    let mut names: Vec<&str> = FAMILIES.iter().copied().flatten().map(|f| f.name).collect();
    assert_eq!(names.len(), 83);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    for function in FAMILIES.iter().copied().flatten() {
        for (at, overload) in function.overloads.iter().enumerate() {
            assert!(overload.args.len() <= crate::lambda::functions::ARGS_MAX);
            assert!(function.overloads[..at].iter().all(|other| other.args != overload.args));
        }
    }
}
