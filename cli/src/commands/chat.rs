//! `trireme chat`: a conversation with a served model, as an ordinary API client.

use std::io::{IsTerminal, Write};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::args::Chat;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

pub(crate) async fn run(args: Chat, client: &Client, output: &Output) -> Result<(), CliError> {
    let model = match &args.model {
        Some(model) => model.clone(),
        None => only_model(client).await?,
    };
    let mut conversation = Conversation::new(model, &args);
    if let Some(message) = &args.message {
        return conversation.turn(client, message).await;
    }
    if !std::io::stdin().is_terminal() {
        let message = read_all().await?;
        return conversation.turn(client, message.trim()).await;
    }
    output.note("Ctrl-D ends the conversation.");
    while let Some(line) = read_line().await? {
        if !line.trim().is_empty() {
            conversation.turn(client, line.trim()).await?;
        }
    }
    Ok(())
}

/// The model that is served, where there is just one.
pub(crate) async fn only_model(client: &Client) -> Result<String, CliError> {
    let list: Value = client.get("/v1/models").await?;
    let ids: Vec<&str> =
        list["data"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str()).collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(CliError::new(
            Exit::NotFound,
            "no model is served",
            "the cluster has no deployment",
            "run `trireme model deploy MODEL`",
        )),
        many => Err(CliError::usage("which model?", format!("served are: {}", many.join(", ")))),
    }
}

/// Messages so far, and how to ask.
pub(crate) struct Conversation {
    model: String,
    messages: Vec<Value>,
    temperature: f32,
    seed: Option<u64>,
    max_tokens: Option<u32>,
}

impl Conversation {
    pub(crate) fn new(model: String, args: &Chat) -> Self {
        let system = args.system.iter().map(|s| json!({ "role": "system", "content": s }));
        Self {
            model,
            messages: system.collect(),
            temperature: args.temperature,
            seed: args.seed,
            max_tokens: args.max_tokens,
        }
    }

    /// Asks, prints the answer as it comes, remembers both.
    pub(crate) async fn turn(&mut self, client: &Client, message: &str) -> Result<(), CliError> {
        self.messages.push(json!({ "role": "user", "content": message }));
        let mut body = json!({
            "model": self.model,
            "messages": self.messages,
            "temperature": self.temperature,
            "stream": true,
        });
        if let Some(seed) = self.seed {
            body["seed"] = seed.into();
        }
        if let Some(max) = self.max_tokens {
            body["max_completion_tokens"] = max.into();
        }
        let response = client.stream("/v1/chat/completions", &body).await?;
        let mut bytes = response.bytes_stream();
        let mut lines = Lines::default();
        let mut answer = String::new();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|e| broken(&e.to_string()))?;
            for data in lines.push(&piece) {
                if data == "[DONE]" {
                    print_piece("\n");
                    self.messages.push(json!({ "role": "assistant", "content": answer }));
                    return Ok(());
                }
                let text = delta(&data)?;
                print_piece(&text);
                answer.push_str(&text);
            }
        }
        print_piece("\n");
        Err(broken("the stream ended without [DONE]"))
    }
}

fn delta(data: &str) -> Result<String, CliError> {
    let chunk: Value = serde_json::from_str(data).map_err(|e| broken(&e.to_string()))?;
    if let Some(message) = chunk["error"]["message"].as_str() {
        return Err(broken(message));
    }
    Ok(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
}

fn broken(why: &str) -> CliError {
    CliError::new(Exit::Failed, "the answer broke off", why, "ask again")
}

fn print_piece(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away is noticed at the next prompt.
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Cuts a byte stream into the data of its server-sent events.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.trim_end().strip_prefix("data:") {
                found.push(data.trim_start().to_owned());
            }
        }
        found
    }
}

async fn read_line() -> Result<Option<String>, CliError> {
    if std::io::stdout().is_terminal() {
        print_piece("> ");
    }
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|bytes| (bytes > 0).then_some(line))
    });
    line.await
        .map_err(|e| CliError::internal(&e.to_string()))?
        .map_err(|e| CliError::usage("cannot read standard input", e.to_string()))
}

async fn read_all() -> Result<String, CliError> {
    let text = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    text.await
        .map_err(|e| CliError::internal(&e.to_string()))?
        .map_err(|e| CliError::usage("cannot read standard input", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_cut_anywhere_read_the_same() {
        let stream = "data: {\"a\":\"ü\"}\n\n: keep-alive\n\ndata: [DONE]\n\n";
        for cut in 0..stream.len() {
            let mut lines = Lines::default();
            let mut found = lines.push(&stream.as_bytes()[..cut]);
            found.extend(lines.push(&stream.as_bytes()[cut..]));
            assert_eq!(found, ["{\"a\":\"ü\"}", "[DONE]"], "cut at {cut}");
        }
    }

    #[test]
    fn an_error_in_the_stream_is_an_error() {
        let error = delta(r#"{"error":{"message":"node lost"}}"#).expect_err("an error");
        assert!(error.to_string().contains("node lost"));
    }
}
