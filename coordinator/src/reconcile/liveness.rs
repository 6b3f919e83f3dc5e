//! Which workers are there: soft state from control streams, heartbeats and their peers' word.
//!
//! A reset control stream means that the process is gone, silence that nobody knows. No node is
//! lost while its control stream or its data plane shows progress: this coordinator's own QUIC
//! connection and the word of its peers count. Where all fall silent together, this coordinator
//! suspects itself first. A node that keeps getting lost is let back in after a wait that doubles.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::admin::NodeState;
use protocol::ids::NodeId;

use super::config::{ReconcilerConfig, backoff};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not heard of by this process yet; lost if it does not show up until then.
    Expected {
        until: Duration,
    },
    Live,
    Lost,
}

#[derive(Clone, Debug)]
struct NodeLife {
    phase: Phase,
    since: Duration,
    reason: String,
    /// When the node, or a peer on its behalf, last showed progress.
    heard: Duration,
    /// When it last spoke itself.
    spoke: Duration,
    /// A control stream to this coordinator is open.
    attached: bool,
    reset_at: Option<Duration>,
    /// Since when there is no control stream, though the process lives.
    detached: Option<Duration>,
    /// It said that it stops.
    leaving: bool,
    losses: u32,
    lost_at: Duration,
    /// Not to be planned on before.
    usable_at: Duration,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Liveness {
    nodes: BTreeMap<NodeId, NodeLife>,
    ticked: Option<Duration>,
}

impl Liveness {
    /// Makes the known nodes these: new ones are expected until `until`, others are forgotten.
    pub(super) fn keep(&mut self, members: &[NodeId], now: Duration, until: Duration) {
        self.nodes.retain(|node, _| members.contains(node));
        for node in members {
            self.nodes.entry(*node).or_insert_with(|| NodeLife::expected(now, until));
        }
    }

    /// A new leader gives every node that it never heard of one full window.
    pub(super) fn extend_expected(&mut self, to: Duration) {
        for life in self.nodes.values_mut() {
            if let Phase::Expected { until } = &mut life.phase {
                *until = (*until).max(to);
            }
        }
    }

    pub(super) fn registered(&mut self, node: NodeId, now: Duration, config: &ReconcilerConfig) {
        let life = self.nodes.entry(node).or_insert_with(|| NodeLife::expected(now, now));
        life.attached = true;
        life.reset_at = None;
        life.detached = None;
        life.leaving = false;
        life.hear(now, config);
    }

    pub(super) fn heard(&mut self, node: NodeId, now: Duration, config: &ReconcilerConfig) {
        if let Some(life) = self.nodes.get_mut(&node).filter(|l| l.attached) {
            life.hear(now, config);
        }
    }

    /// Its data plane shows progress, here or at a peer: proof of life while its stream is silent,
    /// but not once the stream was reset.
    pub(super) fn shows_progress(&mut self, node: NodeId, now: Duration) {
        let alive = |l: &&mut NodeLife| l.phase == Phase::Live && l.reset_at.is_none();
        if let Some(life) = self.nodes.get_mut(&node).filter(alive) {
            life.heard = life.heard.max(now);
        }
    }

    /// This coordinator's own data connection got an answer of the process, asked for after
    /// whatever happened to the control stream.
    pub(super) fn answered(&mut self, node: NodeId, now: Duration) {
        let Some(life) = self.nodes.get_mut(&node).filter(|l| l.phase == Phase::Live) else {
            return;
        };
        life.heard = life.heard.max(now);
        if let Some(reset) = life.reset_at.take() {
            life.detached = Some(reset);
        }
    }

    pub(super) fn leaving(&mut self, node: NodeId) -> bool {
        let first = |life: &mut NodeLife| !std::mem::replace(&mut life.leaving, true);
        self.nodes.get_mut(&node).is_some_and(first)
    }

    pub(super) fn is_leaving(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|l| l.leaving && l.phase == Phase::Live)
    }

    pub(super) fn stream_lost(&mut self, node: NodeId, now: Duration) {
        if let Some(life) = self.nodes.get_mut(&node) {
            life.attached = false;
            if life.phase == Phase::Live {
                life.reset_at = Some(now);
            }
        }
    }

    /// Marks the nodes whose time is over as lost, and names them.
    pub(super) fn tick(&mut self, now: Duration, config: &ReconcilerConfig) -> Vec<NodeId> {
        self.forgive_own_lateness(now, config);
        let patience = self.patience(now, config);
        let mut lost = Vec::new();
        for (node, life) in &mut self.nodes {
            if let Some(reason) = life.overdue(now, patience, config) {
                life.lose(reason, now, config);
                lost.push(*node);
            }
        }
        lost
    }

    /// The silence after which a node is lost. Where every node fell silent together, the fault is
    /// likelier here, and as nobody would be left to plan on, waiting costs nothing.
    fn patience(&self, now: Duration, config: &ReconcilerConfig) -> Duration {
        let speaks = |life: &&NodeLife| life.phase == Phase::Live && life.reset_at.is_none();
        let live = self.nodes.values().filter(speaks);
        let silent =
            live.clone().filter(|l| now.saturating_sub(l.heard) > config.failure_timeout / 2);
        let (live, silent) = (live.count(), silent.count());
        let extra = if live > 1 && silent == live { config.self_suspicion } else { Duration::ZERO };
        config.failure_timeout + extra
    }

    pub(super) fn is_live(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|l| l.phase == Phase::Live)
    }

    pub(super) fn is_lost(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_none_or(|l| l.phase == Phase::Lost)
    }

    /// May be planned on: live, and not waiting out its flapping.
    pub(super) fn is_usable(&self, node: NodeId, now: Duration) -> bool {
        let usable =
            |l: &NodeLife| l.phase == Phase::Live && !l.leaving && l.attached && l.usable_at <= now;
        self.nodes.get(&node).is_some_and(usable)
    }

    pub(super) fn is_attached(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|l| l.attached)
    }

    pub(super) fn any_expected(&self) -> bool {
        self.nodes.values().any(|l| matches!(l.phase, Phase::Expected { .. }))
    }

    /// The node itself spoke after `moment`, and its stream is still there.
    pub(super) fn spoke_since(&self, node: NodeId, moment: Duration) -> bool {
        let spoke =
            |l: &NodeLife| l.phase == Phase::Live && l.reset_at.is_none() && l.spoke > moment;
        self.nodes.get(&node).is_some_and(spoke)
    }

    /// What is to be said of the node, apart from what people asked of it.
    pub(super) fn describe(
        &self,
        node: NodeId,
        now: Duration,
        config: &ReconcilerConfig,
    ) -> Described {
        let told =
            |state, reason: String, next: String, since| Described { state, reason, next, since };
        let Some(life) = self.nodes.get(&node) else {
            let next = "ready once it connects".to_owned();
            return told(NodeState::Joining, "has not connected yet".into(), next, now);
        };
        let left = |until: Duration| until.saturating_sub(now).as_secs_f64();
        match life.phase {
            Phase::Expected { until } => {
                let next = format!("lost unless it connects within {:.0} s", left(until));
                told(NodeState::Joining, life.reason.clone(), next, life.since)
            }
            Phase::Lost => {
                let next = "used again as soon as it connects".to_owned();
                told(NodeState::Lost, life.reason.clone(), next, life.since)
            }
            Phase::Live => {
                let (reason, next) = life.condition(now, self.patience(now, config), config);
                let state = if life.leaving { NodeState::Draining } else { NodeState::Ready };
                told(state, reason, next, life.since)
            }
        }
    }

    /// A detector that was itself held up must not blame the nodes: all deadlines move.
    fn forgive_own_lateness(&mut self, now: Duration, config: &ReconcilerConfig) {
        let due = self.ticked.map_or(now, |ticked| ticked + config.tick);
        let late = now.saturating_sub(due);
        self.ticked = Some(now);
        if late < config.tick {
            return;
        }
        for life in self.nodes.values_mut() {
            life.heard = (life.heard + late).min(now);
            life.reset_at = life.reset_at.map(|at| (at + late).min(now));
            if let Phase::Expected { until } = &mut life.phase {
                *until += late;
            }
        }
    }
}

/// A node's state for people.
pub(super) struct Described {
    pub(super) state: NodeState,
    pub(super) reason: String,
    pub(super) next: String,
    /// The moment of the last change.
    pub(super) since: Duration,
}

impl NodeLife {
    fn expected(now: Duration, until: Duration) -> Self {
        Self {
            phase: Phase::Expected { until },
            since: now,
            reason: "has not connected yet".into(),
            heard: now,
            spoke: now,
            attached: false,
            reset_at: None,
            detached: None,
            leaving: false,
            losses: 0,
            lost_at: Duration::ZERO,
            usable_at: Duration::ZERO,
        }
    }

    fn hear(&mut self, now: Duration, config: &ReconcilerConfig) {
        self.heard = now;
        self.spoke = now;
        if self.phase == Phase::Live {
            return;
        }
        if self.phase == Phase::Lost && self.losses > 1 {
            self.usable_at = now + backoff(config.flap_first, self.losses - 2, config.flap_max);
        }
        self.phase = Phase::Live;
        self.since = now;
        self.reason.clear();
    }

    /// Why a live node is not all well, and what happens next.
    fn condition(
        &self,
        now: Duration,
        patience: Duration,
        config: &ReconcilerConfig,
    ) -> (String, String) {
        let silence = now.saturating_sub(self.heard);
        if self.leaving {
            return ("it was told to stop".into(), "goes once its layers have moved".into());
        }
        if silence > config.failure_timeout {
            let reason = format!("silent for {:.1} s, as every node is", silence.as_secs_f64());
            let left = patience.saturating_sub(silence).as_secs_f64();
            let next =
                format!("this coordinator suspects itself: lost in {left:.0} s, all of them");
            return (reason, next);
        }
        let unheard = now.saturating_sub(self.detached.unwrap_or(self.spoke));
        if self.detached.is_some() || unheard > config.failure_timeout {
            let reason = format!(
                "no word on the control stream for {:.0} s, its data plane shows progress",
                unheard.as_secs_f64()
            );
            return (reason, "gets no new work before it speaks again".into());
        }
        if self.usable_at > now {
            let wait = (self.usable_at - now).as_secs_f64();
            let reason = format!("was lost {} times", self.losses);
            return (reason, format!("used again in {wait:.0} s"));
        }
        (String::new(), String::new())
    }

    fn overdue(
        &self,
        now: Duration,
        patience: Duration,
        config: &ReconcilerConfig,
    ) -> Option<String> {
        match self.phase {
            Phase::Lost => None,
            Phase::Expected { until } => (now >= until).then(|| "did not connect".to_owned()),
            Phase::Live => {
                let gone = self.reset_at.is_some_and(|at| now >= at + config.reset_grace);
                let silence = now.saturating_sub(self.heard);
                if gone {
                    Some("its process ended or its connection was reset".to_owned())
                } else if silence >= patience {
                    Some(format!("silent for {:.1} s", silence.as_secs_f64()))
                } else {
                    None
                }
            }
        }
    }

    fn lose(&mut self, reason: String, now: Duration, config: &ReconcilerConfig) {
        // Who said goodbye does not flap.
        if self.phase == Phase::Live && !self.leaving {
            let long_ago = now.saturating_sub(self.lost_at) > config.flap_memory;
            self.losses = if long_ago { 1 } else { self.losses + 1 };
            self.lost_at = now;
        }
        self.phase = Phase::Lost;
        self.since = now;
        self.reason = if self.leaving { "it was told to stop, and left".into() } else { reason };
        self.reset_at = None;
        self.detached = None;
    }
}
