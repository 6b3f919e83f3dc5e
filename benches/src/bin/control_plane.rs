//! The control plane at scale on one machine: three coordinators as processes, a thousand workers
//! in this one, each with an identity, a TLS connection and heartbeats to every coordinator as real
//! ones have (gRPC, no data plane); a hundred changes a second; the leader killed under them.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::coordinator_group::{COORDINATORS, Group, Usage};
use benches::heartbeats::Workers;
use benches::percentile;
use clap::Parser;
use coordinator::Config;
use serde_json::json;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1000)]
    workers: usize,
    /// Changes a second.
    #[arg(long, default_value_t = 100)]
    writes: u64,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// One of the coordinators, by its data directory.
    #[arg(long, hide = true)]
    coordinator: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match &arguments.coordinator {
            Some(data_dir) => serve(data_dir).await,
            None => measure(&arguments).await,
        }
    })
}

async fn serve(data_dir: &Path) -> Result<()> {
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    Ok(coordinator::run(Config::load(data_dir)?, stopped).await?)
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let own = std::env::current_exe()?;
    let command = |data_dir: &Path| {
        let mut command = Command::new(&own);
        command.arg("--coordinator").arg(data_dir);
        command
    };
    let mut group = Group::start(folder.path(), command).await?;
    let workers = Workers::start(&group, folder.path(), arguments.workers).await?;
    let phase = Duration::from_secs(arguments.seconds);
    let (joined, ready) = (workers.joined.as_secs_f64(), workers.ready.as_secs_f64());
    println!("{} workers, {COORDINATORS} coordinators", arguments.workers);
    println!("all joined after {joined:.1} s, all ready after {ready:.1} s");

    let idle = Usage::over(&group, phase).await?;
    println!("heartbeats alone, {:.0} a second:", workers.rate(phase).await);
    println!("{}", idle.lines(&group));

    let writing = tokio::spawn(write(group.apis(), arguments.writes, phase));
    let busy = Usage::over(&group, phase).await?;
    let written = writing.await??;
    println!("with {} changes a second:", arguments.writes);
    println!("{}", busy.lines(&group));
    written.print();

    let writing = tokio::spawn(write(group.apis(), arguments.writes, phase));
    tokio::time::sleep(phase / 4).await;
    let gone = group.kill_leader().await?;
    let killed = Instant::now();
    group.wait_for_another(gone).await?;
    println!("the leader killed under them: another one after {:?}", killed.elapsed());
    let written = writing.await??;
    written.print();
    println!("workers ready at its end: {}", group.ready().await?);
    Ok(())
}

/// How the changes went.
#[derive(Default)]
struct Written {
    times: Vec<Duration>,
    /// Failed at a coordinator and tried again at the next.
    again: u64,
}

impl Written {
    fn print(mut self) {
        let (count, again) = (self.times.len(), self.again);
        let mut at = |percent| percentile(&mut self.times, percent).as_secs_f64() * 1e3;
        let (half, most, all) = (at(50), at(99), at(100));
        println!(
            "  {count} changes, {again} tried again, p50 {half:.1} ms, p99 {most:.1} ms, \
             slowest {all:.0} ms"
        );
    }
}

/// Makes keys at a fixed rate, each until some coordinator acknowledges it.
async fn write(apis: Vec<String>, rate: u64, time: Duration) -> Result<Written> {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    let (mut tasks, begun) = (JoinSet::new(), Instant::now());
    while begun.elapsed() < time {
        beat.tick().await;
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let (http, apis) = (http.clone(), apis.clone());
        tasks.spawn(async move {
            let (begun, name) = (Instant::now(), format!("key-{number}"));
            let body = json!({ "name": name, "role": "user" });
            for attempt in 0.. {
                let api = &apis[(number as usize + attempt) % apis.len()];
                let request = http.post(format!("{api}/admin/v1/keys")).json(&body);
                let answer = request.header("idempotency-key", &name).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return (begun.elapsed(), attempt as u64);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (Duration::ZERO, 0)
        });
    }
    let mut written = Written::default();
    while let Some(done) = tasks.join_next().await {
        let (time, again) = done?;
        written.times.push(time);
        written.again += again;
    }
    Ok(written)
}
