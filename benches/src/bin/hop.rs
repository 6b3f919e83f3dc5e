//! One hop of a pipeline edge: an activation frame over QUIC between two processes, half the round
//! trip, beside a bare TCP ping-pong of as many bytes in the same run.
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use benches::percentile;
use bytes::Bytes;
use protocol::control::Role;
use protocol::frame::{Frame, FrameKind};
use protocol::identity::{ClusterCa, Identity, NodeKey};
use protocol::ids::{Epoch, ReplicaId};
use protocol::transport::{FrameReader, FrameWriter, NodeTls, QuicEndpoint, QuicSettings};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BODY_BYTES: usize = 16 << 10;
const ROUNDS: usize = 2000;
const WARM_UP: usize = 200;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, ca, ca_key] = arguments.as_slice()
        && role == "echo"
    {
        return echo(&ClusterCa::from_pem(ca, ca_key)?);
    }
    let ca = ClusterCa::create("bench")?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["echo", ca.certificate_pem(), ca.key_pem().as_str()])
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = measure(&ca, &mut child);
    child.kill()?;
    child.wait()?;
    measured
}

fn measure(ca: &ClusterCa, child: &mut std::process::Child) -> Result<()> {
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no output of the echo process")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    let mut addresses = line.split_whitespace().map(str::parse::<SocketAddr>);
    let quic = addresses.next().ok_or("no QUIC address")??;
    let tcp = addresses.next().ok_or("no TCP address")??;
    let mut hops = runtime()?.block_on(quic_hops(ca, quic))?;
    print_row("QUIC frame, TLS 1.3", &mut hops);
    let mut hops = tcp_hops(tcp)?;
    print_row("TCP, plain, blocking", &mut hops);
    Ok(())
}

fn print_row(name: &str, hops: &mut [Duration]) {
    let micros = |percent, hops: &mut [Duration]| percentile(hops, percent).as_micros();
    let (p50, p99) = (micros(50, hops), micros(99, hops));
    println!("{name:<24} {BODY_BYTES} bytes  hop p50 {p50:>5} us  p99 {p99:>5} us");
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn endpoint(ca: &ClusterCa) -> Result<QuicEndpoint> {
    let key = NodeKey::generate()?;
    let signed = ca.sign_node(&key.signing_request()?, Role::Worker)?;
    let ca_pem = ca.certificate_pem().to_owned();
    let identity = Identity::new(&key, signed.certificate_pem, ca_pem)?;
    let tls = NodeTls::new(&identity)?;
    Ok(QuicEndpoint::bind(([127, 0, 0, 1], 0).into(), tls, QuicSettings::default())?)
}

async fn quic_hops(ca: &ClusterCa, address: SocketAddr) -> Result<Vec<Duration>> {
    let endpoint = endpoint(ca)?;
    let connection = endpoint.dial(address, None).await?;
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

/// The other process: sends back what comes, on both transports.
fn echo(ca: &ClusterCa) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let tcp = listener.local_addr()?;
    std::thread::spawn(move || echo_tcp(&listener));
    runtime()?.block_on(async {
        let endpoint = endpoint(ca)?;
        println!("{} {tcp}", endpoint.local_address()?);
        let incoming = endpoint.accept().await.ok_or("closed")?;
        let connection = incoming.await?;
        let (send, receive) = connection.accept_bi().await?;
        let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
        while let Ok(Some(frame)) = reader.recv().await {
            writer.send(&frame).await?;
        }
        // The TCP half is measured after this one.
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
