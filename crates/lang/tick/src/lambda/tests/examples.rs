//! The verified rows of the reference.

use super::*;
use crate::lambda::fold;
use crate::script;

/// Section 2.6, last table.
#[test]
fn verified_evaluations_hold() {
    check(
        value,
        &[
            ("1 + 2.0", "", "compile: mismatched type to binary operator. got int + float. SEE"),
            ("1 / 0", "", "runtime error: integer divide by zero"),
            ("1.0 / 0.0", "", "float +Inf"),
            ("-5 / 2", "", "int -2"),
            ("-5 % 3", "", "int -2"),
            ("1h / 7", "", "duration 514285714285ns"),
            ("1h / 1m", "", "int 60"),
            ("2.5 * 1s", "", "duration 2500ms"),
            ("\"a\" > 1.5", "a=5i", "boolean true"),
            (
                "\"a\" == /x/",
                "a='xyz'",
                "mismatched type to binary operator. got string == regex. SEE",
            ),
            (
                "\"a\" =~ 'x'",
                "a='xyz'",
                "mismatched type to binary operator. got string =~ string. SEE",
            ),
            (
                "!\"a\"",
                "a=1i",
                "TypeGuard: expression returned unexpected type int, expected boolean",
            ),
            ("TRUE > FALSE", "", "compile: invalid comparison operator > for type boolean"),
            ("'a' - 'b'", "", "compile: invalid math operator - for type string"),
            ("1 AND 2", "", "compile: invalid logical operator AND for type int"),
            ("\"time\"", "", "expression returned unexpected type time"),
            ("\"time\" > now()", "", "invalid comparison operator > for type time"),
            (
                "if(TRUE, 1, 2.0)",
                "",
                "Cannot call function \"if\" with args (true: boolean,1: int,2: float), available signatures are [(boolean,boolean,boolean), (boolean,duration,duration), (boolean,float,float), (boolean,int,int), (boolean,regex,regex), (boolean,string,string), (boolean,time,time)].",
            ),
            (
                "if(\"a\", 1, 2)",
                "",
                "Cannot call function \"if\" argument \"a\" is missing, values in scope are [\"time\"]",
            ),
            (
                "int('x')",
                "",
                "error calling \"int\": strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "int(1s)",
                "",
                "Cannot call function \"int\" with args (1s: duration), available signatures are [(boolean), (float), (int), (string)].",
            ),
            ("string(100000000000000000000000.0)", "", "string 100000000000000000000000"),
            ("10 / 3 * 3", "", "int 9"),
            ("10 - 2 * 3 + 4", "", "int 8"),
            ("TRUE OR TRUE AND FALSE", "", "boolean true"),
            ("1 < 2 == TRUE", "", "boolean true"),
            ("010", "", "int 8"),
        ],
    );
}

/// Section 2.3.
#[test]
fn messages_are_those_of_the_reference() {
    check(
        value,
        &[
            ("\"a\" - \"b\"", "a='x' b='y'", "invalid math operator - for type string"),
            ("\"a\" > \"b\"", "a=true b=true", "invalid comparison operator > for type boolean"),
            ("\"a\" OR \"b\"", "a=1.0 b=true", "invalid logical operator OR for type float"),
            (
                "\"a\" + \"b\"",
                "a=1.0 b=1i",
                "mismatched type to binary operator. got float + int. SEE",
            ),
            ("\"x\" + 1.0", "", "invalid math operator + for type missing"),
            ("1.0 + \"x\"", "", "mismatched type to binary operator. got float + missing. SEE"),
            ("\"x\"", "", "missing value: \"x\""),
            ("-\"x\"", "", "reference \"x\" is missing value"),
            ("!\"x\"", "", "reference \"x\" is missing value"),
            ("/x/", "", "expression returned unexpected type regex"),
            ("foo(1)", "", "undefined function: \"foo\""),
            (
                "abs(-1)",
                "",
                "Cannot call function \"abs\" with args (-1: int), available signatures are [(float)].",
            ),
            (
                "int(\"x\") + \"b\" + \"a\"",
                "a=1i b=2i",
                "Cannot call function \"int\" argument \"x\" is missing, values in scope are [\"a\", \"b\", \"time\"]",
            ),
            (
                "if(\"x\", \"y\", 1)",
                "",
                "Cannot call function \"if\" arguments \"x\", \"y\" are missing, values in scope are [\"time\"]",
            ),
            ("int(foo())", "", "Failed to handle 1 argument: undefined function: \"foo\""),
            (
                "if(TRUE, 1, \"x\" + 1)",
                "",
                "Failed to handle 3 argument: invalid math operator + for type missing",
            ),
            ("strReplace('a', 'b', 'c', 1, 2)", "", "too many arguments provided"),
            ("\"a\"", "a=1.0 #a=x", "cannot have field and tags with same name \"a\""),
        ],
    );
    check(
        predicate,
        &[
            ("\"x\" > 1", "", "left reference value \"x\" is missing value"),
            ("1 < \"x\"", "", "right reference value \"x\" is missing value"),
            ("\"x\" == \"y\"", "", "left reference value \"x\" is missing value"),
            ("\"x\" + 1 > 2", "", "invalid math operator + for type missing"),
            ("TRUE OR \"x\"", "", "right reference value \"x\" is missing value"),
            (
                "\"value\"",
                "value=10",
                "TypeGuard: expression returned unexpected type float, expected boolean",
            ),
            ("\"value\" + 1", "value=10i", "expression returned unexpected type int64"),
            ("1 + 1", "", "expression returned unexpected type int64"),
            (
                "int(\"value\")",
                "value=10",
                "TypeGuard: expression returned unexpected type int, expected boolean",
            ),
            ("'a' > 1", "", "compile: mismatched type to binary operator. got string > int. SEE"),
            (
                "(1 + 2.0) > 3 AND TRUE",
                "",
                "compile: Failed to handle left node: Failed to handle left node: mismatched type to binary operator. got int + float. SEE",
            ),
            (
                "TRUE AND 3 > (1 + 2.0)",
                "",
                "compile: Failed to handle right node: Failed to handle right node: mismatched type to binary operator. got int + float. SEE",
            ),
        ],
    );
}

/// Sections 2.4, 5.4, 5.5 and 14.1, examples 22 to 38 and 127.
#[test]
fn evaluation_paths_are_those_of_the_reference() {
    check(
        predicate,
        &[
            (
                "\"a\" AND \"b\"",
                "a=false b=1.0",
                "mismatched type to binary operator. got boolean AND float. SEE",
            ),
            ("isPresent(\"b\") AND \"b\" > 1", "a=1.0", "false"),
            ("isPresent(\"b\") AND \"b\" > 1", "b=2", "true"),
            ("isPresent(\"b\")", "b=null", "false"),
            ("int(\"value\") > 15", "value=20", "true"),
            ("\"cpu\" == 'cpu-total' AND \"host\" =~ /^a/", "v=1 #cpu=cpu-total #host=ab", "true"),
            ("\"value\" > 80.0 AND \"host\" == 'a'", "value=81 #host=a", "true"),
            ("\"value\" > 80.0 AND \"host\" == 'a'", "value=81 #host=b", "false"),
            ("\"value\" > 80.0 AND \"host\" == 'a'", "value=80 #host=a", "false"),
        ],
    );
    check(
        value,
        &[
            ("\"v\" / \"w\"", "v=1i w=0i", "runtime error: integer divide by zero"),
            ("\"v\" / \"w\"", "v=1 w=0", "float +Inf"),
            ("\"nope\" + 1.0", "value=10", "invalid math operator + for type missing"),
            ("\"host\"", "host='b' #host=a", "cannot have field and tags with same name \"host\""),
            ("\"host\"", "host=null #host=a", "string a"),
            ("if(\"v\" > 1, 'hi', 'lo')", "v=2", "string hi"),
            ("strToUpper(\"h\")", "#h=ab", "string AB"),
            ("duration(int(\"v\"), 1s)", "v=2", "duration 2s"),
        ],
    );
}

/// Section 14.4: what crashes the original.
#[test]
fn inputs_that_crash_the_original_are_errors() {
    check(
        predicate,
        &[
            ("10 / \"v\" > 1", "v=0i", "runtime error: integer divide by zero"),
            ("\"v\" % 0 == 0", "v=1i", "runtime error: integer divide by zero"),
            (
                "strSubstring(\"s\", 3, 1) == ''",
                "s='abcdef'",
                "runtime error: slice bounds out of range [3:1]",
            ),
            ("strReplace('a','b','c',1,2) == ''", "", "too many arguments provided"),
            ("1h / \"v\" > 1s", "v=0i", "runtime error: integer divide by zero"),
            ("1h / 0s > 1", "", "runtime error: integer divide by zero"),
        ],
    );
}

/// Section 1.7, 2.
#[test]
fn constants_of_statements_fold() {
    let fold = |text: &str| match fold(&node(text)) {
        Ok(script::Value::Str(value)) => format!("string {value}"),
        Ok(script::Value::Duration(value)) => format!("duration {value}"),
        Ok(script::Value::Bool(value)) => format!("bool {value}"),
        Ok(script::Value::Int(value)) => format!("int {value}"),
        Ok(script::Value::Float(value)) => format!("float {value}"),
        Ok(other) => format!("{other:?}"),
        Err(text) => text,
    };
    let rows = [
        ("'a' + 'b'", "string ab"),
        ("2 * 1m", "duration 120000000000"),
        ("1 + 2 == 3", "bool true"),
        ("\"a\" + 1", "name \"a\" is undefined. Names in scope: "),
        ("1 > \"a\"", "name \"a\" is undefined. Names in scope: "),
        (
            "isPresent(\"a\") == TRUE",
            "Failed to handle 1 argument: name \"a\" is undefined. Names in scope: ",
        ),
        (
            "1 + 'a'",
            "mismatched type to binary operator. got int + string. see bool(), int(), float(), string(), duration()",
        ),
        ("1 / 0", "runtime error: integer divide by zero"),
        ("a + 1", "Failed to handle left node: name \"a\" is undefined. Names in scope: "),
        ("unixNano(now()) > 0", "now() is known in lambda expressions only"),
    ];
    for (text, expected) in rows {
        assert_eq!(fold(text), expected, "{text}");
    }
}
