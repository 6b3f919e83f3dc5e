//! One stream over two processes of one thread each, as two stages and as one group of two ranks,
//! beside what the planner predicts from one process and one exchange.
//!
//! The portable kernels by default: throttled by arithmetic, two processes on one machine share
//! little of what limits them. Loops at idle priority keep the other core as busy where one process
//! computes as where two do: neighbouring cores slow each other.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader, stdin, stdout};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use benches::kernel_set::SetArgument;
use benches::process_chain::{ProcessChain, part, serve};
use benches::shape_stage::{Room, ShapeStage, Step};
use benches::synthetic::{Shape, Synthetic};
use benches::two_nodes::{node, runtime};
use benches::{median, percentile};
use clap::{Parser, ValueEnum};
use engine::collective::{Collective, Fate, Mesh};
use engine::{Compute, Place};
use partitioner::{Candidate, Cluster, Degrees, Objective, StageCount};
use protocol::host_facts::HostFacts;
use protocol::identity::ClusterCa;
use protocol::ids::{Digest, NodeId};
use protocol::node_profile::{
    DeviceKind, DeviceProfile, ExchangeProfile, LinkProfile, NodeProfile,
};
use protocol::plan::Share;
use protocol::transport::{DirectListener, DirectStream};
use worker::collective::DirectLink;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const PATIENCE: Duration = Duration::from_secs(120);
const EXCHANGES: usize = 1000;
const WARM_UP: usize = 100;

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "llama3.1-8b")]
    shape: Shape,
    #[arg(long, default_value_t = 8)]
    layers: u32,
    /// Tokens of a run.
    #[arg(long, default_value_t = 8)]
    tokens: u32,
    /// Runs of each, in turn.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Instead of the portable one.
    #[command(flatten)]
    set: SetArgument,
    /// One of the loops.
    #[arg(long, hide = true)]
    filler: bool,
    /// One of the two stages.
    #[arg(long, hide = true)]
    stage: Option<u32>,
    /// The group's second rank, with the certificate and the key of the cluster.
    #[arg(long, hide = true, num_args = 2, allow_hyphen_values = true)]
    rank: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.filler {
        fill();
    }
    Compute::configure(arguments.set.kernel_set_or("portable")?, 1, || {});
    let model = text(Synthetic::new(arguments.shape, Some(arguments.layers)))?;
    if let Some(index) = arguments.stage {
        let layers = part(arguments.layers, index, 2);
        let mut stage = text(ShapeStage::load(&place()?, &model, layers, arguments.room()))?;
        return text(serve(&mut stage, index == 0, stdin().lock(), stdout().lock()));
    }
    match &arguments.rank[..] {
        [ca, key] => second_rank(&arguments, &model, &ClusterCa::from_pem(ca, key)?),
        _ => {
            let mut fillers = Vec::new();
            for _ in 0..std::thread::available_parallelism()?.get() {
                let own = command(&arguments, &["--filler"])?;
                let idle = ["--idle", "0"];
                let mut filler = Command::new("chrt");
                filler.args(idle).arg(own.get_program()).args(own.get_args());
                fillers.push(filler.spawn()?);
            }
            let measured = measure(&arguments, &model);
            for mut filler in fillers {
                filler.kill()?;
                filler.wait()?;
            }
            measured
        }
    }
}

/// Multiplies bytes for ever.
fn fill() -> ! {
    let (a, b) = (vec![3_i8; 4096], vec![5_i8; 4096]);
    loop {
        let (a, b) = (black_box(&a), black_box(&b));
        black_box(a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>());
    }
}

fn measure(arguments: &Arguments, model: &Synthetic) -> Result<()> {
    let ca = ClusterCa::create("bench")?;
    let (mut group, mut child) = first_rank(arguments, &ca)?;
    let exchange = exchange_seconds(&mut *group)?;
    let mut rank = load_rank(arguments, model, 0)?;
    rank.join(group);
    let layers = model.spec().all_layers();
    let mut whole = text(ShapeStage::load(&place()?, model, layers, arguments.room()))?;
    let stages = (0..2).map(|index| command(arguments, &["--stage", &index.to_string()]));
    let mut stages = text(ProcessChain::start(stages.collect::<Result<_>>()?))?;
    let (mut alone, mut pipelined, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        alone.push(run(&mut whole, arguments.tokens)?);
        let time = text(stages.one_after_another(arguments.tokens, 0))?;
        pipelined.push(time.as_secs_f64() / f64::from(arguments.tokens));
        shared.push(run(&mut rank, arguments.tokens)?);
    }
    drop(rank);
    child.wait()?;
    let (alone, pipelined, shared) =
        (median(&mut alone), median(&mut pipelined), median(&mut shared));
    let predicted = |stages, degrees| predict(model, alone, exchange, stages, degrees);
    let (stages, ranks) = (predicted(2, vec![1, 1])?, predicted(1, vec![2])?);
    let row = |name: &str, measured: f64, predicted: f64| {
        let (measured, predicted, off) =
            (measured * 1e3, predicted * 1e3, 100.0 * (measured / predicted - 1.0));
        println!("| {name} | {measured:.1} ms | {predicted:.1} ms | {off:+.1} % |");
    };
    println!("one process: {:.1} ms a token; an exchange: {:.0} us", alone * 1e3, exchange * 1e6);
    println!("| one stream | measured | predicted | off |\n|---|---|---|---|");
    row("two stages", pipelined, stages);
    row("two ranks", shared, ranks);
    let (measured, predicted) = (pipelined / shared, stages / ranks);
    let off = 100.0 * (measured / predicted - 1.0);
    println!("| ranks against stages | {measured:.2} x | {predicted:.2} x | {off:+.1} % |");
    Ok(())
}

/// Seconds of a token.
fn run(stage: &mut ShapeStage, tokens: u32) -> Result<f64> {
    let begun = Instant::now();
    for position in 0..tokens {
        let step = Step { first: 0, sequences: 1, position, rows: 1 };
        text(stage.run(step, None, |_| Ok(())))?;
    }
    Ok(begun.elapsed().as_secs_f64() / f64::from(tokens))
}

/// What the planner says of two nodes that are each as fast as the one process, in seconds of a
/// token.
fn predict(
    model: &Synthetic,
    alone: f64,
    exchange: f64,
    stages: u32,
    degrees: Vec<u32>,
) -> Result<f64> {
    let spec = model.spec();
    let device = DeviceProfile {
        kind: DeviceKind::Cpu,
        name: "one thread".to_owned(),
        memory_total_bytes: 1 << 40,
        memory_usable_bytes: 1 << 40,
        memory_bandwidth: model.bytes_per_token() as f64 / alone,
        // Nothing but the bytes counts.
        matmul_rate: f64::MAX,
        gpu: None,
    };
    let nodes = [NodeId([1; 32]), NodeId([2; 32])];
    let measured = ExchangeProfile { direct_seconds: Some(exchange), quic_seconds: None };
    let link = LinkProfile { exchange: measured, ..LinkProfile::new(exchange, 1e9) };
    let candidates = nodes.map(|node| Candidate {
        node,
        name: node.short().to_string(),
        profile: NodeProfile {
            hostname: String::new(),
            os: String::new(),
            version: String::new(),
            cpu: String::new(),
            cores: 1,
            devices: vec![device.clone()],
            links: nodes.iter().filter(|peer| **peer != node).map(|peer| (*peer, link)).collect(),
            host: HostFacts::default(),
        },
    });
    let objective = Objective {
        stages: StageCount::Exactly(stages),
        degrees: Degrees::Each(degrees),
        ..Objective::for_model(spec)
    };
    let cluster = Cluster { nodes: candidates.to_vec() };
    let planned = partitioner::plan(spec, Digest::of(b""), &cluster, &objective)?;
    Ok(planned.prediction.seconds_per_token)
}

fn first_rank(arguments: &Arguments, ca: &ClusterCa) -> Result<(Box<dyn Collective>, Child)> {
    let key = ca.key_pem();
    let own = ["--rank", ca.certificate_pem(), key.as_str()];
    let mut child = command(arguments, &own)?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no output of the second rank")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;
    let tls = node(ca)?;
    let dialled = runtime()?.block_on(async {
        DirectStream::dial_any(&tls, &[address.to_string()], None, PATIENCE).await
    })?;
    Ok((mesh(0, DirectLink(dialled.into_socket()?)), child))
}

/// The other process: takes part in all steps.
fn second_rank(arguments: &Arguments, model: &Synthetic, ca: &ClusterCa) -> Result<()> {
    let mut rank = load_rank(arguments, model, 1)?;
    let tls = node(ca)?;
    let socket = runtime()?.block_on(async {
        let direct = DirectListener::bind(([127, 0, 0, 1], 0).into(), &tls).await?;
        println!("{}", direct.local_address()?);
        let stream = direct.shake(direct.accept().await?, PATIENCE).await?;
        Ok::<_, Box<dyn Error + Send + Sync>>(stream.into_socket()?)
    })?;
    let mut group = mesh(1, DirectLink(socket));
    exchange_seconds(&mut *group)?;
    rank.join(group);
    for _ in 0..arguments.runs {
        run(&mut rank, arguments.tokens)?;
    }
    Ok(())
}

fn mesh(rank: usize, link: DirectLink) -> Box<dyn Collective> {
    Box::new(Mesh::new(rank, vec![(1 - rank, Box::new(link))], Fate::default(), PATIENCE))
}

/// Of `ExchangeProfile::BYTES`, the median.
fn exchange_seconds(group: &mut dyn Collective) -> Result<f64> {
    let mut values = vec![0.0; ExchangeProfile::BYTES as usize / 4];
    let mut times = Vec::with_capacity(EXCHANGES);
    for round in 0..WARM_UP + EXCHANGES {
        let begun = Instant::now();
        group.all_reduce(&mut values)?;
        if round >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    Ok(percentile(&mut times, 50).as_secs_f64())
}

fn load_rank(arguments: &Arguments, model: &Synthetic, rank: u32) -> Result<ShapeStage> {
    let part = (model.spec().all_layers(), Share { start: rank, units: 1, of: 2 });
    text(ShapeStage::load_share(&place()?, model, part, arguments.room()))
}

fn place() -> Result<Place> {
    Ok(Place::named("cpu")?)
}

impl Arguments {
    fn room(&self) -> Room {
        Room { sequences: 1, context: self.tokens.max(2), rows: 1 }
    }
}

fn command(arguments: &Arguments, own: &[&str]) -> Result<Command> {
    let shape = arguments.shape.to_possible_value().ok_or("a shape without a name")?;
    let numbers = [
        ("--layers", arguments.layers.to_string()),
        ("--tokens", arguments.tokens.to_string()),
        ("--runs", arguments.runs.to_string()),
    ];
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--shape", shape.get_name()]);
    numbers.iter().for_each(|(name, number)| {
        command.args([name, number.as_str()]);
    });
    command.args(["--kernel-set", &arguments.set.kernel_set_or("portable")?.to_string()]);
    command.args(own);
    Ok(command)
}

/// Errors that do not cross threads, as what they say.
fn text<T>(result: std::result::Result<T, Box<dyn Error>>) -> Result<T> {
    result.map_err(|error| error.to_string().into())
}
