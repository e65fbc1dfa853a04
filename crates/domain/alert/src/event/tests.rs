//! Events as JSON.
