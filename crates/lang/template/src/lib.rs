//! Go text and HTML templates and the texts of values that Go programs print.
