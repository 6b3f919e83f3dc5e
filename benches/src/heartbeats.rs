//! Workers as the control plane sees them: an identity, a TLS connection and a control stream to
//! every coordinator, a heartbeat on each at its interval; nothing behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use protocol::control::{
    CoordinatorAddress, CoordinatorMessage, Heartbeat, Registration, Role, WorkerMessage,
};
use protocol::identity::Identity;
use protocol::node_profile::NodeProfile;
use protocol::rpc::Envelope;
use protocol::rpc::control_client::ControlClient;
use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use worker::join::{JoinOptions, join};

use crate::coordinator_group::Group;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a worker is to the control plane.
pub struct Workers {
    sent: Arc<AtomicU64>,
    _streams: JoinSet<()>,
    /// How long it took until all had joined, and until all were ready.
    pub joined: Duration,
    pub ready: Duration,
}

impl Workers {
    pub async fn start(group: &Group, folder: &Path, count: usize) -> Result<Self> {
        let token = group.token("worker", count).await?;
        let begun = Instant::now();
        let joined = futures::stream::iter(0..count).map(|number| {
            let name = format!("w{number}");
            join(JoinOptions {
                data_dir: folder.join(&name),
                token: token.clone(),
                name,
                role: Role::Worker,
                coordinator: None,
                anew: false,
            })
        });
        let identities: Vec<_> = joined.buffer_unordered(16).collect().await;
        let all_joined = begun.elapsed();
        let (sent, mut streams) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for (number, identity) in identities.into_iter().enumerate() {
            let identity = Arc::new(identity?);
            for member in &group.members {
                let (identity, sent) = (Arc::clone(&identity), Arc::clone(&sent));
                let coordinator = member.address.clone();
                streams.spawn(async move {
                    let name = format!("w{number}");
                    while attach(&identity, &name, &coordinator, &sent).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                });
            }
        }
        let ready = count as u64;
        let all = |s: &Value| s["nodesReady"].as_u64() == Some(ready);
        group.wait_for("every worker", all).await?;
        Ok(Self { sent, _streams: streams, joined: all_joined, ready: begun.elapsed() })
    }

    /// Heartbeats a second, to all coordinators together.
    pub async fn rate(&self, time: Duration) -> f64 {
        let before = self.sent.load(Ordering::Relaxed);
        tokio::time::sleep(time / 4).await;
        (self.sent.load(Ordering::Relaxed) - before) as f64 / (time / 4).as_secs_f64()
    }
}

/// A control stream until it breaks.
async fn attach(
    identity: &Identity,
    name: &str,
    coordinator: &CoordinatorAddress,
    sent: &AtomicU64,
) -> Result<()> {
    let tls = Arc::new(NodeTls::new(identity)?.client(Some(coordinator.node), GRPC_ALPN)?);
    let (address, dial_timeout) = (coordinator.address.clone(), Duration::from_secs(20));
    let channel = GrpcTarget { address, tls, dial_timeout }.connect().await?;
    let (out, queue) = mpsc::channel(16);
    out.try_send(pack(&WorkerMessage::Register(Box::new(registration(name))))?)?;
    let queue = futures::stream::unfold(queue, async |mut queue| {
        queue.recv().await.map(|envelope| (envelope, queue))
    });
    let mut inbound = ControlClient::new(channel).attach(queue).await?.into_inner();
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let mut sequence = 0;
    loop {
        tokio::select! {
            message = inbound.message() => {
                let envelope = message?.ok_or("closed")?;
                let message: CoordinatorMessage = envelope.unpack("CoordinatorMessage")?;
                if let CoordinatorMessage::Welcome { heartbeat_interval_ms, .. } = message {
                    beat = tokio::time::interval(Duration::from_millis(heartbeat_interval_ms));
                }
            }
            _ = beat.tick() => {
                sequence += 1;
                let heartbeat = Heartbeat { sequence, ..Heartbeat::default() };
                out.send(pack(&WorkerMessage::Heartbeat(heartbeat))?).await?;
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn pack(message: &WorkerMessage) -> Result<Envelope> {
    Ok(Envelope::pack("WorkerMessage", message)?)
}

fn registration(name: &str) -> Registration {
    let profile = NodeProfile {
        hostname: name.to_owned(),
        os: "linux".into(),
        version: "0".into(),
        cpu: "none".into(),
        cores: 8,
        devices: Vec::new(),
        links: BTreeMap::new(),
        host: Default::default(),
    };
    Registration {
        name: name.to_owned(),
        profile,
        data_addresses: Vec::new(),
        held_manifests: Vec::new(),
        shards: Vec::new(),
        certificate: None,
        instance: String::new(),
        answers: false,
    }
}
