//! Clients that write and read through every coordinator while the network fails; what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::linearizability::{Kind, Operation, Verdict, check};
use tests::process::Api;
use tokio::task::JoinSet;

/// Sets of operations that the search may look at, per register.
const CONFIGURATIONS: usize = 2_000_000;
/// Operations of one register: then the next one is used, so that each search stays small.
const REGISTER_OPERATIONS: u64 = 60;
const PAUSE: Duration = Duration::from_millis(40);

/// Clients under way; each has one request open at a time.
pub(crate) struct Clients {
    running: Arc<AtomicBool>,
    tasks: JoinSet<Vec<(String, Operation)>>,
}

struct Client {
    api: Api,
    clock: Arc<AtomicU64>,
    running: Arc<AtomicBool>,
    number: u64,
}

impl Clients {
    /// One that writes and one that reads per coordinator; registers are labels of `node`.
    pub(crate) fn start(apis: &[Api], node: &str) -> Self {
        let (running, clock) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for (number, api) in apis.iter().enumerate() {
            for writes in [true, false] {
                let (running, clock) = (Arc::clone(&running), Arc::clone(&clock));
                let client = Client { api: api.clone(), clock, running, number: number as u64 };
                tasks.spawn(client.run(node.to_owned(), writes));
            }
        }
        Self { running, tasks }
    }

    /// Ends them, and checks what they saw; gives how many writes and reads were answered.
    pub(crate) async fn judge(self) -> (usize, usize) {
        self.running.store(false, Ordering::Relaxed);
        let histories = self.tasks.join_all().await;
        let all: Vec<_> = histories.into_iter().flatten().collect();
        let mut registers: Vec<_> = all.iter().map(|(register, _)| register.clone()).collect();
        registers.sort();
        registers.dedup();
        for register in registers {
            let of_it = |(name, _): &&(String, Operation)| *name == register;
            let history: Vec<_> = all.iter().filter(of_it).map(|(_, o)| o.clone()).collect();
            let verdict = check(&history, CONFIGURATIONS);
            assert_eq!(verdict, Verdict::Linearizable, "{register}: {history:#?}");
        }
        let answered = || all.iter().map(|(_, o)| o).filter(|o| o.answered.is_some());
        let reads = answered().filter(|o| matches!(o.kind, Kind::Read(_))).count();
        (answered().count() - reads, reads)
    }
}

impl Client {
    async fn run(self, node: String, writes: bool) -> Vec<(String, Operation)> {
        let mut seen = Vec::new();
        while self.running.load(Ordering::Relaxed) {
            let called = self.clock.fetch_add(1, Ordering::SeqCst);
            let register = format!("r{}", called / REGISTER_OPERATIONS);
            let value = called * 10 + self.number;
            let answer = if writes {
                let set = json!({ "set": { register.as_str(): value.to_string() } });
                let path = format!("/admin/v1/nodes/{node}/labels");
                self.api.call(Method::PATCH, &path, set).await.map(|_| Kind::Write(value))
            } else {
                let path = format!("/admin/v1/nodes/{node}?consistent=true");
                self.api.get(&path).await.map(|view| Kind::Read(label(&view, &register)))
            };
            let answered = self.clock.fetch_add(1, Ordering::SeqCst);
            let operation = match answer {
                Ok(kind) => Some(Operation { called, answered: Some(answered), kind }),
                // It may have happened, or still happen.
                Err(_) if writes => {
                    Some(Operation { called, answered: None, kind: Kind::Write(value) })
                }
                Err(_) => None,
            };
            seen.extend(operation.map(|operation| (register, operation)));
            tokio::time::sleep(PAUSE).await;
        }
        seen
    }
}

/// Every register is empty again.
pub(crate) async fn forget(api: &Api, node: &str) {
    let view = api.get(&format!("/admin/v1/nodes/{node}?consistent=true")).await.expect("a node");
    let labels = view["labels"].as_object().cloned().unwrap_or_default();
    let remove: Vec<_> = labels.keys().collect();
    let path = format!("/admin/v1/nodes/{node}/labels");
    let body = json!({ "remove": remove });
    api.call(Method::PATCH, &path, body).await.expect("labels are removed");
}

fn label(view: &Value, register: &str) -> Option<u64> {
    view["labels"][register].as_str().and_then(|value| value.parse().ok())
}
