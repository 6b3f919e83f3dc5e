//! `trireme node logs`: what a node's process logged last, and what it goes on to log.

use std::time::Duration;

use protocol::admin::NodeLog;
use protocol::log_ring::{LINES_MAX, LogLine};

use crate::args::NodeLogs;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

const POLL: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: NodeLogs, client: &Client, output: &Output) -> Result<(), CliError> {
    let NodeLogs { node, last, follow } = args;
    let mut log: NodeLog = client.get(&path(&node, None, last)).await?;
    print(&log, output)?;
    let mut after = None;
    let mut silent = false;
    if !follow {
        return Ok(());
    }
    loop {
        after = log.lines.last().map_or(after, |line| Some(line.sequence));
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        let number = if after.is_some() { LINES_MAX as u32 } else { last };
        log = match client.get(&path(&node, after, number)).await {
            Ok(log) => log,
            // It may be starting anew, which is what is looked at.
            Err(error) if passes(error.exit) => {
                if !std::mem::replace(&mut silent, true) {
                    output.note(&format!("{}; still asking", error.why));
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        silent = false;
        if log.gap {
            output.note("lines are missing here: more came than the node keeps, or it was away");
        }
        if !log.lines.is_empty() {
            print(&log, output)?;
        }
    }
}

fn path(node: &str, after: Option<u64>, last: u32) -> String {
    let after = after.map(|sequence| format!("&after={sequence}")).unwrap_or_default();
    format!("/admin/v1/nodes/{node}/logs?last={last}{after}")
}

fn passes(exit: Exit) -> bool {
    matches!(exit, Exit::Precondition | Exit::Unreachable | Exit::Failed)
}

fn print(log: &NodeLog, output: &Output) -> Result<(), CliError> {
    if !output.for_people() {
        return output.describe("NodeLog", log);
    }
    log.lines.iter().for_each(|line| output.text(&text(line)));
    Ok(())
}

/// `2026-11-22T08:00:00.000000Z  INFO attached coordinator=1f3a5b7c`.
fn text(line: &LogLine) -> String {
    let LogLine { ts, level, message, fields, .. } = line;
    let mut text = format!("{ts} {level:>5} {message}");
    for (name, value) in fields {
        let quotes = value.is_empty() || value.contains(char::is_whitespace);
        let value = if quotes { format!("{value:?}") } else { value.clone() };
        text.push_str(&format!(" {name}={value}"));
    }
    plain(&text)
}

/// What a stranger made a node log must not steer a terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_has_its_fields_and_steers_no_terminal() {
        let line = LogLine {
            sequence: 7,
            ts: "2026-11-22T08:00:00Z".to_owned(),
            level: "INFO".to_owned(),
            message: "refused \u{1b}[2J".to_owned(),
            fields: [("node", "b2"), ("reason", "not in\ntime"), ("what", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let expected = "2026-11-22T08:00:00Z  INFO refused \\u{1b}[2J node=b2 \
                        reason=\"not in\\ntime\" what=\"\"";
        assert_eq!(text(&line), expected);
    }

    #[test]
    fn what_follows_is_asked_for_by_the_last_line_seen() {
        assert_eq!(path("b2", None, 20), "/admin/v1/nodes/b2/logs?last=20");
        assert_eq!(path("b2", Some(9), 2000), "/admin/v1/nodes/b2/logs?last=2000&after=9");
    }
}
