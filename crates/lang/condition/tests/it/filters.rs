//! The filter language, by case files.

mod cases;
mod errors;
mod properties;
mod robust;
