//! Limits as the gateway of one coordinator enforces them, with leases from the leader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::admin::KeyLimits;
use protocol::rpc::Envelope;

use super::ledger::{Lease, LeaseAsk, Ledger};
use super::purse::Purse;
use super::usage::UsageBook;
use crate::error::CoordinatorError;
use crate::gateway::directory::KeyRecord;
use crate::gateway::quota::{Exhausted, Need, Quota};
use crate::raft::{Consensus, wall_clock};
use crate::state::UsageDelta;

/// The leader answers within this, else the coordinator gives out its own share.
const LEASE_TIMEOUT: Duration = Duration::from_millis(500);
/// Answers that took more than was leased are told to the leader this often.
const DEBTS_TOLD: Duration = Duration::from_secs(1);
/// What was used is told to the log this often.
const USAGE_TOLD: Duration = Duration::from_secs(10);

pub(crate) struct Counter {
    consensus: Arc<Consensus>,
    /// In use while this coordinator leads.
    ledger: Mutex<Ledger>,
    purses: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Purse>>>>,
    usage: Mutex<UsageBook>,
    origin: Instant,
}

impl Counter {
    pub(crate) fn open(
        consensus: Arc<Consensus>,
        data_dir: &std::path::Path,
    ) -> Result<Self, CoordinatorError> {
        let usage = Mutex::new(UsageBook::open(&data_dir.join("usage.json"))?);
        let (ledger, purses) = (Mutex::default(), Mutex::default());
        Ok(Self { consensus, ledger, purses, usage, origin: Instant::now() })
    }

    /// As the leader: writes down what it leases.
    pub(super) fn lease(&self, ask: &LeaseAsk) -> Option<Lease> {
        let state = self.consensus.state();
        let key = state.keys.get(&ask.key)?;
        Some(lock(&self.ledger).lease(ask, &key.limits, self.origin.elapsed()))
    }

    /// Tells the leader of debts and the log of usage, as long as the coordinator runs.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut told = Instant::now();
        loop {
            tokio::time::sleep(DEBTS_TOLD).await;
            self.tell_debts().await;
            if told.elapsed() >= USAGE_TOLD {
                told = Instant::now();
                self.tell_usage().await;
            }
        }
    }

    /// At the end: what is not in the log is on the disk.
    pub(crate) async fn tell_usage(&self) {
        let node = self.consensus.own();
        let counted = self.consensus.state().usage_batch(node);
        let prepared = lock(&self.usage).prepare(counted);
        let Some((batch, totals)) = prepared else { return };
        self.save_usage().await;
        match self.consensus.report_usage(batch, totals).await {
            Ok(_) => {
                lock(&self.usage).told(batch);
                self.save_usage().await;
            }
            Err(error) => tracing::info!(%error, "usage of keys waits on the disk"),
        }
    }

    async fn save_usage(&self) {
        let save = lock(&self.usage).to_save();
        let saved = tokio::task::spawn_blocking(save).await.map_err(std::io::Error::other);
        if let Err(error) = saved.and_then(|saved| saved) {
            tracing::warn!(%error, "usage of keys was not kept on the disk");
        }
    }

    async fn tell_debts(&self) {
        let purses: Vec<_> =
            lock(&self.purses).iter().map(|(k, p)| (k.clone(), p.clone())).collect();
        for (key, purse) in purses {
            let mut purse = purse.lock().await;
            let Some(ask) = purse.owed(&key) else { continue };
            match self.ask(&ask).await {
                Ok(lease) => purse.receive(&ask, &lease),
                // Without a leader the next round tells it.
                Err(_) => return,
            }
        }
    }

    async fn admit(&self, key: &KeyRecord, need: Need) -> Result<(), Exhausted> {
        self.check_budget(key)?;
        let limits = &key.limits;
        if limits.requests_per_minute.is_none() && limits.tokens_per_minute.is_none() {
            return Ok(());
        }
        if let Some(limit) = limits.tokens_per_minute.filter(|limit| need.tokens > *limit) {
            let (name, tokens) = (&key.name, need.tokens);
            let message = format!(
                "The prompt has {tokens} tokens; the key `{name}` may use {limit} per minute."
            );
            return Err(Exhausted { message, retry_after_seconds: 60, soon: false });
        }
        let purse = Arc::clone(lock(&self.purses).entry(key.name.clone()).or_default());
        let mut purse = purse.lock().await;
        let now = self.origin.elapsed();
        let Some(ask) = purse.take(&key.name, limits, need, now) else { return Ok(()) };
        match self.ask(&ask).await {
            Ok(lease) => {
                purse.receive(&ask, &lease);
                match purse.take(&key.name, limits, need, self.origin.elapsed()) {
                    None => Ok(()),
                    Some(_) => Err(used_up(key, lease.retry_after_seconds)),
                }
            }
            Err(reason) => {
                tracing::debug!(reason, "no leader leases limits: this node gives its share");
                let coordinators = self.consensus.state().coordinators().len() as u64;
                let shared = purse.take_share(limits, coordinators, need, now);
                shared.map_err(|seconds| used_up(key, seconds))
            }
        }
    }

    /// What the log knows of this month, and what this coordinator has not told it yet.
    fn check_budget(&self, key: &KeyRecord) -> Result<(), Exhausted> {
        let Some(budget) = key.limits.tokens_per_month else { return Ok(()) };
        let now = wall_clock();
        let logged = self.consensus.state().keys.get(&key.name).map(|k| k.usage(now));
        let logged = logged.map_or(0, |usage| usage.tokens_this_month);
        let used = logged.saturating_add(lock(&self.usage).untold(&key.name));
        if used < budget {
            return Ok(());
        }
        let message =
            format!("The key `{}` has used {used} of its {budget} tokens of this month.", key.name);
        let retry_after_seconds = u32::try_from(now.month_seconds_left()).unwrap_or(u32::MAX);
        Err(Exhausted { message, retry_after_seconds, soon: false })
    }

    async fn ask(&self, ask: &LeaseAsk) -> Result<Lease, String> {
        let status = self.consensus.status();
        let leader = status.leader.filter(|_| status.has_quorum).ok_or("no leader is known")?;
        if leader == self.consensus.own() {
            return self.lease(ask).ok_or_else(|| "the key is gone".to_owned());
        }
        let envelope = Envelope::pack("LeaseAsk", ask).map_err(|e| e.to_string())?;
        let mut client = self.consensus.limits_client(leader)?;
        let answered = tokio::time::timeout(LEASE_TIMEOUT, client.lease(envelope)).await;
        let answered = answered.map_err(|_| "the leader did not answer in time")?;
        let envelope = answered.map_err(|status| status.message().to_owned())?.into_inner();
        envelope.unpack("Lease").map_err(|e| e.to_string())
    }
}

impl Quota for Arc<Counter> {
    fn take(&self, key: Arc<KeyRecord>, need: Need) -> BoxFuture<'static, Result<(), Exhausted>> {
        let counter = Self::clone(self);
        async move { counter.admit(&key, need).await }.boxed()
    }

    fn used(&self, key: &str, limits: &KeyLimits, taken: Need, delta: UsageDelta) {
        lock(&self.usage).count(key, &delta);
        let beyond = delta.tokens().saturating_sub(taken.tokens);
        let purse = lock(&self.purses).get(key).map(Arc::clone);
        let Some(purse) = purse else { return };
        let (limits, now) = (limits.clone(), self.origin.elapsed());
        // Held for as long as a call to the leader takes, by one that asks for a lease.
        tokio::spawn(async move { purse.lock().await.answer(&limits, beyond, now) });
    }
}

fn used_up(key: &KeyRecord, seconds: u64) -> Exhausted {
    let KeyLimits { requests_per_minute, tokens_per_minute, .. } = key.limits;
    let limits = [(requests_per_minute, "requests"), (tokens_per_minute, "tokens")];
    let limits: Vec<_> =
        limits.iter().filter_map(|(limit, what)| Some(format!("{} {what}", (*limit)?))).collect();
    let (name, limits) = (&key.name, limits.join(" and "));
    let message =
        format!("The key `{name}` may use {limits} per minute, and has. Try again in {seconds} s.");
    let retry_after_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    Exhausted { message, retry_after_seconds, soon: true }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
