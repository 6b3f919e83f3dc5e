//! What two processes on one machine pay to meet: an activation frame over QUIC and bare TCP (half
//! a round trip), and an all-reduce of as many bytes over QUIC and over a direct socket.
//!
//! `--awake` keeps all cores from halting by loops at idle priority.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use benches::percentile;
use benches::two_nodes::{node, runtime};
use bytes::Bytes;
use engine::collective::{Collective, Fate, Link, Mesh};
use protocol::frame::{Frame, FrameKind};
use protocol::identity::ClusterCa;
use protocol::ids::{Epoch, ReplicaId};
use protocol::transport::{
    DirectListener, DirectStream, FrameReader, FrameWriter, NodeTls, QuicEndpoint, QuicSettings,
};
use worker::collective::{DirectLink, QuicLink};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const BODY_BYTES: usize = 16 << 10;
const ROUNDS: usize = 2000;
const WARM_UP: usize = 200;
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["echo", ca, ca_key] => echo(&ClusterCa::from_pem(ca, ca_key)?),
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["--awake"] => {
            let cores = std::thread::available_parallelism()?.get();
            let mut spinners = Vec::new();
            for _ in 0..cores {
                let idle = ["--idle", "0"];
                let own = std::env::current_exe()?;
                spinners.push(Command::new("chrt").args(idle).arg(own).arg("spin").spawn()?);
            }
            println!("cores awake");
            let measured = run();
            spinners.iter_mut().try_for_each(end)?;
            measured
        }
        _ => run(),
    }
}

fn run() -> Result<()> {
    let ca = ClusterCa::create("bench")?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["echo", ca.certificate_pem(), ca.key_pem().as_str()])
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = measure(&ca, &mut child);
    end(&mut child)?;
    measured
}

fn end(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn measure(ca: &ClusterCa, child: &mut Child) -> Result<()> {
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no output of the echo process")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let mut addresses = line.split_whitespace().map(str::parse::<SocketAddr>);
    let mut address = || addresses.next().ok_or("an address is missing");
    let (quic, tcp, direct) = (address()??, address()??, address()??);
    let tls = node(ca)?;
    let runtime = runtime()?;
    let (endpoint, connection) = runtime.block_on(async {
        let endpoint = endpoint(&tls)?;
        let connection = endpoint.dial(quic, None).await?;
        Ok::<_, Box<dyn Error + Send + Sync>>((endpoint, connection))
    })?;
    let mut hops = runtime.block_on(quic_hops(&connection))?;
    print_row("hop, QUIC frame", &mut hops);
    print_row("hop, plain TCP, blocking", &mut tcp_hops(tcp)?);
    let link = runtime.block_on(quic_link(&connection))?;
    print_row("all-reduce, QUIC", &mut all_reduces(Box::new(link))?);
    let addresses = [direct.to_string()];
    let link = runtime.block_on(DirectStream::dial_any(&tls, &addresses, None, PATIENCE))?;
    let link = DirectLink(link.into_socket()?);
    print_row("all-reduce, direct socket", &mut all_reduces(Box::new(link))?);
    endpoint.close("measured");
    Ok(())
}

fn print_row(name: &str, times: &mut [Duration]) {
    let (p50, p99) = (percentile(times, 50), percentile(times, 99));
    let (p50, p99) = (p50.as_micros(), p99.as_micros());
    println!("{name:<26} {BODY_BYTES} bytes  p50 {p50:>5} us  p99 {p99:>5} us");
}

fn endpoint(tls: &NodeTls) -> Result<QuicEndpoint> {
    let any = ([127, 0, 0, 1], 0).into();
    Ok(QuicEndpoint::bind(any, tls.clone(), QuicSettings::default())?)
}

async fn quic_hops(connection: &quinn::Connection) -> Result<Vec<Duration>> {
    let (send, receive) = connection.open_bi().await?;
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
    let body = Bytes::from(vec![7; BODY_BYTES]);
    let frame = Frame::with_body(FrameKind::Probe, ReplicaId(1), Epoch(1), &0_u8, body)?;
    let mut hops = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let begun = Instant::now();
        writer.send(&frame).await?;
        reader.recv().await?.ok_or("the echo ended")?;
        if round >= WARM_UP {
            hops.push(begun.elapsed() / 2);
        }
    }
    Ok(hops)
}

fn tcp_hops(address: SocketAddr) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![7; BODY_BYTES];
    let mut hops = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let begun = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        if round >= WARM_UP {
            hops.push(begun.elapsed() / 2);
        }
    }
    Ok(hops)
}

/// A stream with something on it, so that the peer takes it.
async fn quic_link(connection: &quinn::Connection) -> Result<QuicLink> {
    let (mut send, receive) = connection.open_bi().await?;
    send.write_all(&[0]).await?;
    Ok(QuicLink::new(send, receive))
}

fn all_reduces(link: Box<dyn Link>) -> Result<Vec<Duration>> {
    let mut mesh = Mesh::new(0, vec![(1, link)], Fate::default(), PATIENCE);
    let mut values = vec![1.0; BODY_BYTES / 4];
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        values.fill(1.0);
        let begun = Instant::now();
        mesh.all_reduce(&mut values)?;
        if round >= WARM_UP {
            times.push(begun.elapsed());
        }
        if values != [3.0; BODY_BYTES / 4] {
            return Err("the sums are wrong".into());
        }
    }
    Ok(times)
}

/// The other rank: brings 2 to every call, until its peer leaves.
fn all_reduces_of_peer(link: Box<dyn Link>) {
    let mut mesh = Mesh::new(1, vec![(0, link)], Fate::default(), PATIENCE);
    let mut values = vec![0.0; BODY_BYTES / 4];
    loop {
        values.fill(2.0);
        if mesh.all_reduce(&mut values).is_err() {
            return;
        }
    }
}

/// The other process: sends back what comes, and takes part in the all-reduces.
fn echo(ca: &ClusterCa) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let tcp = listener.local_addr()?;
    std::thread::spawn(move || echo_tcp(&listener));
    let tls = node(ca)?;
    runtime()?.block_on(async {
        let endpoint = endpoint(&tls)?;
        let direct = DirectListener::bind(([127, 0, 0, 1], 0).into(), &tls).await?;
        println!("{} {tcp} {}", endpoint.local_address()?, direct.local_address()?);
        let incoming = endpoint.accept().await.ok_or("closed")?;
        let connection = incoming.await?;
        let (send, receive) = connection.accept_bi().await?;
        let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
        let echoing = tokio::spawn(async move {
            while let Ok(Some(frame)) = reader.recv().await {
                if writer.send(&frame).await.is_err() {
                    return;
                }
            }
        });
        let (send, mut receive) = connection.accept_bi().await?;
        receive.read_exact(&mut [0]).await?;
        let link = QuicLink::new(send, receive);
        std::thread::spawn(move || all_reduces_of_peer(Box::new(link)));
        let stream = direct.shake(direct.accept().await?, PATIENCE).await?;
        let link = DirectLink(stream.into_socket()?);
        std::thread::spawn(move || all_reduces_of_peer(Box::new(link)));
        echoing.await?;
        std::future::pending::<Result<()>>().await
    })
}

fn echo_tcp(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BODY_BYTES];
    loop {
        stream.read_exact(&mut buffer)?;
        stream.write_all(&buffer)?;
    }
}
