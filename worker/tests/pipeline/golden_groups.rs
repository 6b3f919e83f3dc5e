//! Every golden family in groups of two, three and four whose sums go over QUIC: the bits of ranks
//! in one process, of which the engine's tests say how near they are to one rank's.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkpoint::Manifest;
use engine::collective::{Collective, Fate, Link, Mesh, in_process_group};
use engine::{Compute, FileSource, Place, Stage, StageConfig, StageInput};
use protocol::control::Role;
use protocol::ids::{BlockId, SequenceId, StateSlot, StepId, TokenId};
use protocol::model_spec::KvType;
use protocol::plan::Share;
use protocol::step_batch::{Sample, SequenceRows, StepBatch};
use protocol::transport::{NodeTls, QuicEndpoint, QuicSettings};
use worker::collective::QuicLink;

use super::lab::Lab;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/golden");
/// Units of each rank.
const GROUPS: [&[u32]; 3] = [&[1, 1], &[3, 2, 1], &[1, 1, 1, 1]];
const PATIENCE: Duration = Duration::from_secs(60);
const PROMPT: u32 = 11;

type Groups = Vec<Box<dyn Collective>>;

/// A connection between each two of `count` nodes, by the lower and the higher one.
struct Nodes {
    endpoints: Vec<QuicEndpoint>,
    connections: Vec<(usize, usize, [quinn::Connection; 2])>,
}

impl Nodes {
    async fn start(lab: &Lab, count: usize) -> Self {
        let endpoint = |_| {
            let tls = NodeTls::new(&lab.identity(Role::Worker)).expect("usable");
            let any = (Ipv4Addr::LOCALHOST, 0).into();
            QuicEndpoint::bind(any, tls, QuicSettings::default()).expect("bound")
        };
        let endpoints: Vec<_> = (0..count).map(endpoint).collect();
        let mut connections = Vec::new();
        for high in 1..count {
            for low in 0..high {
                let address = endpoints[high].local_address().expect("bound");
                let incoming =
                    async { endpoints[high].accept().await.expect("open").await.expect("shaken") };
                let (dialled, accepted) =
                    tokio::join!(endpoints[low].dial(address, None), incoming);
                connections.push((low, high, [dialled.expect("dialled"), accepted]));
            }
        }
        Self { endpoints, connections }
    }

    /// The first `ranks` nodes as a group, over streams of its own.
    async fn group(&self, ranks: usize) -> Groups {
        let mut links: Vec<Vec<(usize, Box<dyn Link>)>> = (0..ranks).map(|_| Vec::new()).collect();
        for (low, high, [dialled, accepted]) in &self.connections {
            if *high >= ranks {
                continue;
            }
            let (mut send, receive) = dialled.open_bi().await.expect("open");
            // A stream is there once something is on it.
            send.write_all(&[0]).await.expect("sent");
            links[*low].push((*high, Box::new(QuicLink::new(send, receive))));
            let (send, mut receive) = accepted.accept_bi().await.expect("open");
            receive.read_exact(&mut [0]).await.expect("received");
            links[*high].push((*low, Box::new(QuicLink::new(send, receive))));
        }
        let mesh = |(rank, links)| -> Box<dyn Collective> {
            Box::new(Mesh::new(rank, links, Fate::default(), PATIENCE))
        };
        links.into_iter().enumerate().map(mesh).collect()
    }
}

fn in_process(ranks: usize) -> Groups {
    let boxed = |group| -> Box<dyn Collective> { Box::new(group) };
    in_process_group(ranks, PATIENCE).into_iter().map(boxed).collect()
}

/// A prompt in one step, then a token; all rows ask for their logits.
fn steps(vocabulary: u32) -> [StepBatch; 2] {
    let row = |position: u32| SequenceRows {
        sequence: SequenceId(0),
        position,
        tokens: vec![TokenId(7919 * (position + 1) % vocabulary)],
        block_tables: vec![(0..8).map(BlockId).collect()],
        state_slot: Some(StateSlot(0)),
        sample: Sample::Yes { allowed: None },
    };
    let batch = |rows: std::ops::Range<u32>| StepBatch {
        step: StepId(0),
        starts: vec![],
        ends: vec![],
        copies: vec![],
        rows: rows.map(row).collect(),
    };
    [batch(0..PROMPT), batch(PROMPT..PROMPT + 1)]
}

/// The bits of all logits of rank 0.
fn logits(manifest: &Manifest, source: &FileSource, units: &[u32], groups: Groups) -> Vec<u32> {
    let of = units.iter().sum();
    let whole = StageConfig::whole_model(&manifest.spec, 128, KvType::F32);
    let steps = &steps(manifest.spec.vocab_size);
    let mut ranks: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let mut start = 0;
        let rank = |(group, &units)| {
            let config = StageConfig { share: Share { start, units, of }, ..whole };
            start += units;
            scope.spawn(move || {
                let compute = Compute::new(Compute::of_process().set(), 1, || {});
                let place = Place::Cpu(Arc::new(compute));
                let stage = Stage::load_at(&place, manifest, source, &config, &mut |_| {});
                let mut stage = stage.expect("the rank loads");
                stage.join(group);
                let step = |step| stage.logits(step, StageInput::Tokens).expect("the step runs");
                steps.iter().flat_map(step).flatten().map(f32::to_bits).collect()
            })
        };
        let threads: Vec<_> = groups.into_iter().zip(units).map(rank).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    ranks.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_golden_family_has_the_same_bits_over_quic_as_in_one_process() {
    let lab = Lab::new();
    let nodes = Nodes::start(&lab, 4).await;
    let mut families = 0;
    for entry in Path::new(GOLDEN).read_dir().expect("fixtures") {
        let folder = entry.expect("readable").path();
        // Columns with an order of their own (GPTQ with desc_act) are not shared out.
        if !folder.join("config.json").exists() || folder.ends_with("qwen2-gptq") {
            continue;
        }
        let checkpoint = checkpoint::open(&folder).expect("the fixture opens");
        let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("the manifest builds");
        let source = FileSource::open(&checkpoint.files).expect("the files open");
        for units in GROUPS {
            let groups = nodes.group(units.len()).await;
            let over_quic =
                tokio::task::block_in_place(|| logits(&manifest, &source, units, groups));
            let expected = logits(&manifest, &source, units, in_process(units.len()));
            assert_eq!(expected.len(), 12 * manifest.spec.vocab_size as usize);
            assert!(over_quic == expected, "{}: {units:?}", folder.display());
        }
        families += 1;
    }
    assert!(families >= 20, "{families} families");
    nodes.endpoints.iter().for_each(|endpoint| endpoint.close("done"));
}
