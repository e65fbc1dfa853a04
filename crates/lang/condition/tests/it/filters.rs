//! The filter language, by case files.

mod cases;
mod errors;
mod explain;
mod properties;
mod robust;
