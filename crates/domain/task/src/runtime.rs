//! What runs: nodes, their surroundings, the graph that drives them.

pub mod context;
pub mod graph;
pub mod groups;
pub mod node;
pub mod out;
pub mod services;
pub mod state;
pub mod statistics;
pub mod timers;

pub use context::{Context, StartContext};
pub use graph::Graph;
pub use groups::{Groups, PerGroup};
pub use node::{Barrier, Failure, Node, Step};
pub use out::Out;
pub use services::Services;
pub use state::{Reader, StateError, Writer};
