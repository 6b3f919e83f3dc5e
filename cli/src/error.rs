//! A command's failure: what, why, the next command; and the exit code.

use std::fmt;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Forbidden = 4,
    Unreachable = 5,
    Precondition = 6,
    DoesNotFit = 7,
    TimedOut = 8,
    Interrupted = 130,
}

impl Exit {
    /// Stable word for `-o json`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::Precondition => "precondition",
            Self::DoesNotFit => "does_not_fit",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
        }
    }
}

#[derive(Debug)]
pub(crate) struct CliError {
    pub exit: Exit,
    pub what: String,
    pub why: String,
    pub next: String,
    pub request_id: String,
}

impl CliError {
    pub(crate) fn new(
        exit: Exit,
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (what, why, next) = (what.into(), why.into(), next.into());
        Self { exit, what, why, next, request_id: String::new() }
    }

    pub(crate) fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, why, "see the command's --help")
    }

    pub(crate) fn internal(why: &str) -> Self {
        Self::new(Exit::Failed, "this should not happen", why, "please report it")
    }
}

impl fmt::Display for CliError {
    /// Three lines: what, why with the numbers, the next command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        for (label, line) in [("why", &self.why), ("next", &self.next)] {
            if !line.is_empty() {
                let line: Vec<_> = line.lines().map(str::trim).collect();
                write!(f, "\n{label:>5}: {}", line.join(" "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}
