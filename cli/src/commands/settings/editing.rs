//! Settings as a TOML text in the operator's editor, and what he changed in it.

use std::ffi::OsString;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::admin::SettingView;
use toml::{Table, Value};

use super::{Values, check_name, update};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

const HEAD: &str = "\
# Settings of the whole cluster, in seconds. Set one by a line `name = value`; one without a line
# has its default. Save and leave the editor: all of them are taken or, where one is refused, none.
";

pub(super) fn check_terminal() -> Result<(), CliError> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    let next = "run: trireme cluster config set KEY=VALUE".to_owned();
    let why = "there is no terminal for it";
    Err(CliError { next, ..CliError::usage("an editor cannot be opened", why) })
}

pub(super) async fn edit(
    known: &[SettingView],
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let path = write(&text(known)).map_err(|error| {
        let next = "use: trireme cluster config set KEY=VALUE";
        CliError::new(Exit::Failed, "no file for the editor", error.to_string(), next)
    })?;
    // What was typed is not lost with what is wrong in it.
    let kept = |error: CliError| {
        let next = format!("the text is in {}; {}", path.display(), error.next);
        CliError { next, ..error }
    };
    open(&path).map_err(kept)?;
    let unreadable = |error: std::io::Error| CliError::usage("no text", error.to_string());
    let edited = std::fs::read_to_string(&path).map_err(unreadable).map_err(kept)?;
    let changed = changes(&edited, known).map_err(kept)?;
    let settings = match changed.is_empty() {
        true => None,
        false => Some(update(changed, client).await.map_err(kept)?),
    };
    // It holds no secret: one that stays does no harm.
    let _ = std::fs::remove_file(&path);
    match settings {
        Some(settings) => output.list(&settings),
        None => {
            output.note("nothing was changed");
            Ok(())
        }
    }
}

fn write(text: &str) -> std::io::Result<PathBuf> {
    use std::io::Write;
    let mut file = tempfile::Builder::new().prefix("trireme-").suffix(".toml").tempfile()?;
    file.write_all(text.as_bytes())?;
    // By its name, as an editor may put another file in its place.
    let (_, path) = file.keep().map_err(|kept| kept.error)?;
    Ok(path)
}

/// As a shell reads the variable: it may hold flags.
fn open(path: &Path) -> Result<(), CliError> {
    let named = |variable| std::env::var_os(variable).filter(|editor| !editor.is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
    let mut line = editor.clone();
    line.push(" \"$1\"");
    let words: [OsString; 4] = ["-c".into(), line, "sh".into(), path.into()];
    let ended = Command::new("sh").args(words).status();
    let why = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("`{}` ended with {status}", editor.display()),
        Err(error) => format!("`{}`: {error}", editor.display()),
    };
    let next = "nothing was changed; name another editor in EDITOR";
    Err(CliError::new(Exit::Failed, "the editor failed", why, next))
}

fn text(known: &[SettingView]) -> String {
    let mut text = HEAD.to_owned();
    for setting in known {
        let SettingView { name, value, default, min, max, description, .. } = setting;
        let mark = if setting.is_set { "" } else { "# " };
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "\n# {description}.\n# {min} to {max}; default {default}.\n{mark}{name} = {value}\n"
        );
    }
    text
}

/// What the text says otherwise than what is in force.
fn changes(text: &str, known: &[SettingView]) -> Result<Values, CliError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let why = error.to_string();
        CliError { next: "correct it".to_owned(), ..CliError::usage("this is not TOML", why) }
    })?;
    let mut changes = Values::new();
    for (name, value) in &table {
        check_name(name, known)?;
        let seconds = match value {
            Value::Integer(number) => *number as f64,
            Value::Float(number) if number.is_finite() => *number,
            other => {
                let why = "expected a number of seconds".to_owned();
                return Err(CliError::usage(format!("{name} is {other}"), why));
            }
        };
        let same = |s: &SettingView| s.name == *name && s.is_set && s.value == seconds;
        if !known.iter().any(same) {
            changes.insert(name.clone(), Some(seconds));
        }
    }
    let dropped = known.iter().filter(|s| s.is_set && !table.contains_key(&s.name));
    changes.extend(dropped.map(|setting| (setting.name.clone(), None)));
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: f64, is_set: bool) -> SettingView {
        let (name, description) = (name.to_owned(), "Seconds of something".to_owned());
        SettingView { name, value, default: 1.0, is_set, min: 0.5, max: 60.0, description }
    }

    fn known() -> [SettingView; 2] {
        [setting("failure_timeout", 1.0, false), setting("drain_timeout", 2.5, true)]
    }

    #[test]
    fn a_text_that_was_left_alone_changes_nothing() {
        let text = text(&known());
        assert!(text.contains("# Seconds of something.\n"), "{text}");
        assert!(text.contains("\n# failure_timeout = 1\n"), "{text}");
        assert!(text.contains("\ndrain_timeout = 2.5\n"), "{text}");
        assert_eq!(changes(&text, &known()).expect("its own text"), Values::new());
    }

    #[test]
    fn lines_that_come_change_and_go_are_what_is_asked_for() {
        let changed = changes("failure_timeout = 3\ndrain_timeout = 4.5", &known()).expect("TOML");
        assert_eq!((changed["failure_timeout"], changed["drain_timeout"]), (Some(3.0), Some(4.5)));
        let dropped = changes("", &known()).expect("TOML");
        assert_eq!(dropped.into_iter().collect::<Vec<_>>(), [("drain_timeout".to_owned(), None)]);
    }

    #[test]
    fn what_does_not_read_is_refused_by_name() {
        for (text, says) in [
            ("failure_timeout 3", "not TOML"),
            ("failure_timout = 3", "did you mean `failure_timeout`"),
            ("failure_timeout = \"soon\"", "failure_timeout is \"soon\""),
            ("failure_timeout = inf", "failure_timeout is inf"),
        ] {
            let error = changes(text, &known()).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
