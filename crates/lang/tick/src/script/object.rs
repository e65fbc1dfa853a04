//! What a script calls: the nodes of a pipeline, seen from the language.

use super::value::Value;
use crate::syntax::Position;

/// Names a node or a handler of the pipeline that a script builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(pub u32);

/// What kinds of members an object has under a name; a name may be several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// A field or a property method.
    pub property: bool,
    /// A chaining method.
    pub chain: bool,
    /// A user-defined function.
    pub dynamic: bool,
}

/// Why a call failed; the evaluator adds line, column, name and object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// More than one argument for a plain field: `too many arguments to set property X on <T>`; holds `X`.
    TooManyForField(String),
    /// `"x"` where a string was wanted: `cannot assign *ast.ReferenceNode to type string, did you use double quotes instead of single quotes?`
    ReferenceForString,
    /// Anything else: becomes `error calling func "<name>" on obj <T>: <text>`.
    Call(String),
    /// A whole message: only `line L char C: ` goes before it.
    Message(String),
    /// A whole message without a place: returned as it is.
    Bare(String),
}

/// The objects of a script.
pub trait Objects {
    /// Gives the Go type that messages show, e.g. `*pipeline.FromNode`.
    fn type_name(&self, object: ObjectId) -> String;

    /// Says what `name` is on this object. Names arrive with their first letter as written; `Where` and `where` are one.
    fn members(&self, object: ObjectId, name: &str) -> Members;

    /// Tells where in the script the calls to come stand; for those who want to say where a node was made.
    fn locate(&mut self, _position: Position) {}

    /// Runs `object|name(args)` and gives the new node.
    fn chain(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Vec<Value>,
    ) -> Result<ObjectId, CallError>;

    /// Runs `object.name(args)` and gives what the next property is set on.
    fn property(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Vec<Value>,
    ) -> Result<ObjectId, CallError>;

    /// Runs `object@name(args)` and gives the new node.
    fn dynamic(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Option<Vec<Value>>,
    ) -> Result<ObjectId, CallError>;

    /// Reads `object.name`; `None` when there is no such property.
    fn read(&self, object: ObjectId, name: &str) -> Option<Value>;
}
