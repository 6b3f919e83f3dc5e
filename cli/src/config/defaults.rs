//! A service's options as a file with every default, for people to start from.

use clap::{Arg, Command};

use super::options;

/// What `deploy/config` holds: each option with its doc, its other names and its default; one
/// without a default is commented out.
pub(crate) fn documented(service: &Command) -> String {
    let name = service.get_name();
    let mut text = format!(
        "# Options of `trireme {name}`, each with its default.\n\
         # A flag goes before a variable, a variable before this file, this file before the\n\
         # default. Which one is in force, and why: trireme config show {name} --origin\n"
    );
    for option in options(service) {
        text.push('\n');
        text.push_str(&entry(option));
    }
    text
}

fn entry(option: &Arg) -> String {
    let key = option.get_id().as_str();
    let help = option.get_long_help().or(option.get_help());
    let help = help.map(|help| format!("{}.", help.to_string().trim_end_matches('.')));
    let help = help.unwrap_or_default();
    let mut text: String = wrapped(&help, 97).iter().map(|line| format!("# {line}\n")).collect();
    let flag = option.get_long().unwrap_or_default();
    let variable = option.get_env().and_then(|v| v.to_str()).unwrap_or_default();
    text.push_str(&format!("# Flag --{flag}, variable {variable}.\n"));
    match option.get_default_values().first().and_then(|v| v.to_str()) {
        Some(value) => text.push_str(&format!("{key} = {}\n", as_toml(value))),
        None => {
            let example = option.get_value_names().and_then(|names| names.first());
            let example = example.map_or("...", |name| name.as_str());
            text.push_str(&format!("#{key} = {}\n", as_toml(example)));
        }
    }
    text
}

/// Numbers and truth values stand for themselves.
fn as_toml(value: &str) -> String {
    match value {
        "true" | "false" => value.to_owned(),
        number if number.parse::<u64>().is_ok() => number.to_owned(),
        text => toml::Value::String(text.to_owned()).to_string(),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
