//! llama.cpp in a process of its own, which times what it is asked.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

pub struct LlamaCpp {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub version: String,
}

impl LlamaCpp {
    /// Starts `peers/time_llama_cpp.py` with `python`, an interpreter that has llama-cpp-python.
    pub fn start(
        python: &Path,
        model: &Path,
        threads: usize,
        context: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/time_llama_cpp.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(model)
            .args([threads.to_string(), context.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut peer = Self { child, questions, answers, version: String::new() };
        let ready = peer.line()?;
        let version = ready.strip_prefix("ready ").ok_or("llama.cpp did not load the model")?;
        peer.version = version.to_owned();
        Ok(peer)
    }

    /// Time that a prompt of `tokens` takes.
    pub fn prefill(&mut self, tokens: usize) -> Result<Duration, Box<dyn Error>> {
        self.ask(&format!("prefill {tokens}"))
    }

    /// Time of `tokens` steps of one token each, after `context` tokens.
    pub fn decode(&mut self, tokens: usize, context: usize) -> Result<Duration, Box<dyn Error>> {
        self.ask(&format!("decode {tokens} {context}"))
    }

    fn ask(&mut self, question: &str) -> Result<Duration, Box<dyn Error>> {
        writeln!(self.questions, "{question}")?;
        self.questions.flush()?;
        Ok(Duration::from_secs_f64(self.line()?.parse()?))
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
