//! One node as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Dies with the test: its standard input is our pipe, and dropping it kills it.
pub struct NodeProcess {
    pub name: String,
    /// Program and arguments.
    command: Vec<String>,
    /// Of the next start, on top of the test's own.
    pub environment: Vec<(String, String)>,
    log: PathBuf,
    /// Runs the command, which are its last arguments.
    wrapper: Vec<String>,
    child: Option<Child>,
}

impl NodeProcess {
    pub fn start(name: &str, arguments: Vec<String>, folder: &Path) -> Self {
        Self::start_on(Vec::new(), name, arguments, folder)
    }

    /// With `prefix` before the command: on another host.
    pub fn start_on(
        prefix: Vec<String>,
        name: &str,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let mut command = prefix;
        command.push(super::binary().display().to_string());
        command.extend(arguments);
        let (wrapper, environment) = (Vec::new(), Vec::new());
        let mut node =
            Self { name: name.to_owned(), command, environment, log, wrapper, child: None };
        node.restart();
        node
    }

    /// Starts it again inside of `wrapper`, a command that takes the node's as arguments.
    pub fn restart_inside(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
        self.restart();
    }

    /// A file as the process sees it, also where it has mounts of its own.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let id = self.child.as_ref().expect("running").id();
        PathBuf::from(format!("/proc/{id}/root{}", path.display()))
    }

    /// Starts it again with the same arguments.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "{} is running", self.name);
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        let mut command = self.wrapper.iter().chain(&self.command);
        let child = Command::new(command.next().expect("a command"))
            .args(command)
            .arg("--stop-with-stdin")
            .envs(self.environment.clone())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// The value that follows `name` on its command line.
    pub fn option(&self, name: &str) -> String {
        let at = self.command.iter().position(|argument| argument == name).expect("the option");
        self.command[at + 1].clone()
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// `SIGSTOP`: alive, and silent.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// `SIGTERM`, and the exit code within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Option<i32> {
        self.ask_to_stop();
        self.ended_within(limit)
    }

    /// `SIGTERM` alone.
    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// The exit code, if it has ended by itself within `limit`.
    pub fn ended_within(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let ended = self.child.as_mut().expect("started").try_wait().expect("wait");
            if let Some(status) = ended {
                self.child = None;
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Largest resident set so far, bytes, mapped pages included (`VmHWM`).
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Resident set now, bytes, mapped pages included.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> u64 {
        let id = self.child.as_ref().expect("running").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("procfs");
        let line = status.lines().find(|l| l.starts_with(field)).expect("the field");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("kB");
        kib * 1024
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("running").id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill");
        assert!(status.success());
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
