//! Servers that go away.
