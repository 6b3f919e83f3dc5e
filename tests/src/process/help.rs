//! The commands of `trireme` as its help shows them.

use std::process::{Command, Stdio};

/// A command that does something.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// E.g. `node ls`.
    pub name: String,
    pub help: String,
}

impl Leaf {
    /// The lines of its help that a reader may copy.
    pub fn examples(&self) -> Vec<String> {
        let after = self.help.split_once("\nExamples:\n").map_or("", |(_, after)| after);
        let after = after.replace("\\\n", "");
        let lines = after.lines().take_while(|line| line.starts_with("  "));
        lines.map(|line| line.trim().to_owned()).collect()
    }

    pub fn asks_first(&self) -> bool {
        self.help.contains("--yes")
    }
}

/// Every command, found by asking for help at each level.
pub fn leaves() -> Vec<Leaf> {
    below(&[])
}

fn below(name: &[&str]) -> Vec<Leaf> {
    let help = run(&[name, &["--help"]].concat());
    let itself = Leaf { name: name.join(" "), help: help.clone() };
    let Some((_, commands)) = help.split_once("\nCommands:\n") else { return vec![itself] };
    let runs_alone = help.contains("[COMMAND]").then_some(itself);
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let others = names.filter(|n| *n != "help").flat_map(|n| below(&[name, &[n]].concat()));
    runs_alone.into_iter().chain(others).collect()
}

fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(super::binary());
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}
