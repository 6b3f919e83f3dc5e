//! The HTTP API as a test sees it.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// A whole answer, however it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub text: String,
    pub finish_reason: String,
    pub completion_tokens: u64,
    /// Tokens after which it went on in other tensor-parallel shares, if it did.
    pub reshared_after: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Failure {
    /// 0 where no response came at all.
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Api {
    pub fn new(base: String) -> Self {
        Self { http: client(HeaderMap::new()), base }
    }

    /// Off loopback a key is asked for.
    pub fn with_key(base: String, key: &str) -> Self {
        let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("a key is text");
        Self { http: client(HeaderMap::from_iter([(AUTHORIZATION, value)])), base }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        self.call_with(method, path, body, &[]).await
    }

    /// With headers of the caller's.
    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let has_body = method == Method::POST || method == Method::PATCH;
        let request = if has_body { request.json(&body) } else { request };
        let response = checked(request.send().await).await?;
        let text = response.text().await.map_err(|e| no_response(&e))?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A header of the answer to a GET, whatever its status.
    pub async fn header(&self, path: &str, name: &str) -> Option<String> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.ok()?;
        response.headers().get(name)?.to_str().ok().map(str::to_owned)
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, Value::Null).await
    }

    /// One question to `model`, greedy unless `extra` says otherwise.
    pub async fn ask(&self, model: &str, question: &str, extra: Value) -> Result<Answer, Failure> {
        let body = chat_body(model, question, &extra);
        if extra["stream"] == true {
            return self.stream(body, |_| {}).await;
        }
        let value = self.post("/v1/chat/completions", body).await?;
        let choice = &value["choices"][0];
        Ok(Answer {
            text: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
            finish_reason: choice["finish_reason"].as_str().unwrap_or_default().to_owned(),
            completion_tokens: value["usage"]["completion_tokens"].as_u64().unwrap_or_default(),
            reshared_after: value["trireme"]["reshared_after_tokens"].as_u64(),
        })
    }

    /// Streams an answer; `on_text` sees the text so far after each chunk.
    pub async fn stream(
        &self,
        mut body: Value,
        mut on_text: impl FnMut(&str),
    ) -> Result<Answer, Failure> {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
        let url = format!("{}/v1/chat/completions", self.base);
        let response = checked(self.http.post(url).json(&body).send().await).await?;
        let mut bytes = response.bytes_stream();
        let (mut rest, mut answer) = (String::new(), Answer::default());
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|e| no_response(&e))?;
            // The server writes whole events, so that a piece never ends inside a character.
            rest.push_str(std::str::from_utf8(&piece).expect("UTF-8"));
            while let Some(end) = rest.find("\n\n") {
                let event: String = rest.drain(..end + 2).collect();
                let Some(data) = event.trim().strip_prefix("data: ") else { continue };
                if data == "[DONE]" {
                    return Ok(answer);
                }
                let chunk: Value = serde_json::from_str(data).expect("JSON in an event");
                if !chunk["error"].is_null() {
                    return Err(Failure { status: 200, retry_after: None, body: chunk });
                }
                answer.take(&chunk);
                on_text(&answer.text);
            }
        }
        panic!("the stream ended without [DONE] after: {}", answer.text);
    }
}

impl Answer {
    fn take(&mut self, chunk: &Value) {
        let choice = &chunk["choices"][0];
        self.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert_eq!(self.finish_reason, "", "one finish reason");
            self.finish_reason = reason.to_owned();
        }
        let reshared = chunk["trireme"]["reshared_after_tokens"].as_u64();
        self.reshared_after = self.reshared_after.or(reshared);
        if let Some(tokens) = chunk["usage"]["completion_tokens"].as_u64() {
            self.completion_tokens = tokens;
        }
    }
}

pub(crate) fn chat_body(model: &str, question: &str, extra: &Value) -> Value {
    let messages = json!([{ "role": "user", "content": question }]);
    let mut body = json!({ "model": model, "messages": messages, "temperature": 0 });
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

fn client(headers: HeaderMap) -> reqwest::Client {
    // Fails only where another test has set it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let timeout = Duration::from_secs(180);
    let builder = reqwest::Client::builder().timeout(timeout).default_headers(headers);
    builder.no_proxy().build().expect("a client")
}

async fn checked(
    result: Result<reqwest::Response, reqwest::Error>,
) -> Result<reqwest::Response, Failure> {
    let response = result.map_err(|e| no_response(&e))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let header = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
    let retry_after = header.map(str::to_owned);
    let text = response.text().await.unwrap_or_default();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Err(Failure { status, retry_after, body })
}

fn no_response(error: &reqwest::Error) -> Failure {
    Failure { status: 0, retry_after: None, body: Value::String(format!("{error:?}")) }
}
