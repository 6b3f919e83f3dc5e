//! What a check found: how bad, about what, the facts with their numbers, and what helps.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Pass,
    Warn,
    Fail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Finding {
    pub level: Level,
    /// Stable, e.g. `net.udp_blocked`.
    pub name: &'static str,
    /// The node or address that it is about.
    pub about: String,
    pub facts: String,
    /// What to do; empty where nothing is wrong.
    pub fix: String,
}

impl Finding {
    pub(super) fn pass(name: &'static str, about: &str, facts: impl Into<String>) -> Self {
        Self::new(Level::Pass, name, about, facts.into(), String::new())
    }

    pub(super) fn warn(
        name: &'static str,
        about: &str,
        facts: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warn, name, about, facts.into(), fix.into())
    }

    pub(super) fn fail(
        name: &'static str,
        about: &str,
        facts: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Level::Fail, name, about, facts.into(), fix.into())
    }

    fn new(level: Level, name: &'static str, about: &str, facts: String, fix: String) -> Self {
        Self { level, name, about: about.to_owned(), facts, fix }
    }

    /// Whether it is about a node, or about a link of it.
    pub(crate) fn concerns(&self, node: &str) -> bool {
        self.about.split(['⇄', ' ']).any(|part| part == node)
    }

    /// `FAIL net.udp_blocked  c3: 0 of 20 answered → open it`.
    pub(crate) fn line(&self) -> String {
        let level = match self.level {
            Level::Pass => "PASS",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        let fix = if self.fix.is_empty() { String::new() } else { format!(" → {}", self.fix) };
        format!("{level} {:<18} {}: {}{fix}", self.name, self.about, self.facts)
    }
}
