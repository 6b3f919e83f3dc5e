//! The style rules as tests: each prints every place that breaks it.

mod boundaries;
mod sources;
mod style;
