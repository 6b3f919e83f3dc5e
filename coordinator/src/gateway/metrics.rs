//! What the gateway counts; labels never come from a client's text, names or ids.

use std::sync::Arc;
use std::time::Instant;

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use super::auth::Caller;
use super::quota::{Account, Quota};

const LATENCY_BUCKETS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Sets the buckets of the gateway's histograms.
pub fn configure(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    let name = |name: &str| Matcher::Full(name.to_owned());
    builder
        .set_buckets_for_metric(name("trireme_ttft_seconds"), LATENCY_BUCKETS)?
        .set_buckets_for_metric(name("trireme_itl_seconds"), LATENCY_BUCKETS)?
        .set_buckets_for_metric(name("trireme_e2e_seconds"), LATENCY_BUCKETS)
}

/// Says what each metric means; call once the recorder is installed.
pub fn describe() {
    metrics::describe_gauge!("trireme_requests_running", "Requests that produce tokens.");
    metrics::describe_gauge!("trireme_requests_waiting", "Requests without a first token yet.");
    metrics::describe_counter!("trireme_requests_total", "Requests by how they ended.");
    metrics::describe_counter!("trireme_rejections_total", "Requests refused, by reason.");
    metrics::describe_counter!("trireme_tokens_total", "Tokens by kind.");
    metrics::describe_histogram!("trireme_ttft_seconds", "From the request to its first token.");
    metrics::describe_histogram!("trireme_itl_seconds", "Between two tokens of one choice.");
    metrics::describe_histogram!("trireme_e2e_seconds", "From the request to its end.");
}

/// Times the tokens of one choice.
pub(super) struct TokenClock {
    model: String,
    started: Instant,
    last: Option<Instant>,
}

impl TokenClock {
    pub(super) fn start(model: &str) -> Self {
        gauge!("trireme_requests_waiting", "model" => model.to_owned()).increment(1.0);
        Self { model: model.to_owned(), started: Instant::now(), last: None }
    }

    pub(super) fn token(&mut self) {
        let now = Instant::now();
        let model = self.model.clone();
        if let Some(last) = self.last {
            histogram!("trireme_itl_seconds", "model" => model).record(now - last);
        } else {
            let waited = now - self.started;
            histogram!("trireme_ttft_seconds", "model" => model.clone()).record(waited);
            gauge!("trireme_requests_waiting", "model" => model.clone()).decrement(1.0);
            gauge!("trireme_requests_running", "model" => model).increment(1.0);
        }
        self.last = Some(now);
    }
}

impl Drop for TokenClock {
    fn drop(&mut self) {
        let model = self.model.clone();
        match self.last {
            Some(_) => gauge!("trireme_requests_running", "model" => model).decrement(1.0),
            None => gauge!("trireme_requests_waiting", "model" => model).decrement(1.0),
        }
    }
}

/// Counts one request once, however it ends: a client that goes away drops it unfinished.
pub(super) struct RequestMeter {
    endpoint: &'static str,
    request_id: String,
    key_class: &'static str,
    model: Option<String>,
    started: Instant,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    pub(super) account: Account,
    ended: bool,
}

impl RequestMeter {
    pub(super) fn start(
        endpoint: &'static str,
        request_id: &str,
        caller: &Caller,
        quota: Arc<dyn Quota>,
    ) -> Self {
        Self {
            endpoint,
            request_id: request_id.to_owned(),
            key_class: caller.role.name(),
            model: None,
            started: Instant::now(),
            prompt_tokens: 0,
            completion_tokens: 0,
            account: Account::of(caller, quota),
            ended: false,
        }
    }

    /// Only names that are served become labels.
    pub(super) fn model(&mut self, name: &str) {
        self.model = Some(name.to_owned());
    }

    pub(super) fn finished(&mut self, finish: &'static str) {
        self.end(200, finish);
    }

    pub(super) fn refused(&mut self, status: u16, reason: &'static str) {
        counter!("trireme_rejections_total", "reason" => reason).increment(1);
        self.end(status, "refused");
    }

    /// Failed after the answer had begun.
    pub(super) fn broken(&mut self, status: u16) {
        self.end(status, "error");
    }

    fn end(&mut self, status: u16, finish: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.account.close(self.prompt_tokens, self.completion_tokens);
        let model = self.model.clone().unwrap_or_else(|| "unknown".into());
        counter!(
            "trireme_requests_total", "model" => model.clone(), "endpoint" => self.endpoint,
            "code" => status.to_string(), "finish" => finish
        )
        .increment(1);
        histogram!("trireme_e2e_seconds", "model" => model.clone()).record(self.started.elapsed());
        for (kind, tokens) in [("prompt", self.prompt_tokens), ("output", self.completion_tokens)] {
            counter!(
                "trireme_tokens_total", "kind" => kind, "model" => model.clone(),
                "key_class" => self.key_class
            )
            .increment(tokens);
        }
        tracing::info!(
            request_id = self.request_id,
            endpoint = self.endpoint,
            model,
            status,
            finish,
            prompt_tokens = self.prompt_tokens,
            completion_tokens = self.completion_tokens,
            dur_ms = self.started.elapsed().as_millis() as u64,
            "answer"
        );
    }
}

impl Drop for RequestMeter {
    fn drop(&mut self) {
        self.end(499, "cancelled");
    }
}
