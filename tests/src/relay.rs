//! A bad network in user space: what goes through comes late, out of order on UDP, or not at all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const DATAGRAM_BYTES_MAX: usize = 65_536;
/// Pieces under way on one TCP connection and direction.
const PIECES_MAX: usize = 256;
/// What a lost TCP segment costs: the least time after which Linux sends it again.
const RETRANSMISSION: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Every datagram and piece takes up to this much longer.
    pub jitter: Duration,
    /// Part of the datagrams that is lost; of TCP, that comes again later.
    pub loss: f64,
}

/// Passes TCP and UDP of one address on to another until it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Dice {
    random: Arc<Mutex<StdRng>>,
    weather: Weather,
}

impl Relay {
    pub async fn start(on: SocketAddr, to: SocketAddr, weather: Weather, seed: u64) -> Self {
        let tcp = TcpListener::bind(on).await.expect("a TCP port");
        let address = tcp.local_addr().expect("bound");
        let udp = Arc::new(UdpSocket::bind(address).await.expect("the UDP port"));
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let dice = Dice { random, weather };
        let mut tasks = JoinSet::new();
        tasks.spawn(relay_tcp(tcp, to, dice.clone()));
        tasks.spawn(relay_udp(udp, to, dice));
        Self { address, _tasks: tasks }
    }
}

impl Dice {
    fn delay(&self) -> Duration {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        self.weather.jitter.mul_f64(random.random_range(0.0..1.0))
    }

    fn lost(&self) -> bool {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.random_bool(self.weather.loss)
    }
}

async fn relay_udp(public: Arc<UdpSocket>, to: SocketAddr, dice: Dice) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, client)) = public.recv_from(&mut bytes).await else { continue };
        let inner = match clients.get(&client) {
            Some(inner) => Arc::clone(inner),
            None => {
                let any = SocketAddr::from(([0, 0, 0, 0], 0));
                let inner = Arc::new(UdpSocket::bind(any).await.expect("a socket"));
                inner.connect(to).await.expect("an address");
                clients.insert(client, Arc::clone(&inner));
                let (public, back, dice) = (Arc::clone(&public), Arc::clone(&inner), dice.clone());
                tasks.spawn(relay_back(public, back, client, dice));
                inner
            }
        };
        let datagram = bytes[..length].to_vec();
        late(&dice, async move { drop(inner.send(&datagram).await) });
    }
}

async fn relay_back(public: Arc<UdpSocket>, inner: Arc<UdpSocket>, client: SocketAddr, dice: Dice) {
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is a port that nobody listens on, for now.
        let Ok(length) = inner.recv(&mut bytes).await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (public, datagram) = (Arc::clone(&public), bytes[..length].to_vec());
        late(&dice, async move { drop(public.send_to(&datagram, client).await) });
    }
}

/// Sends after a while, or never.
fn late(dice: &Dice, send: impl Future<Output = ()> + Send + 'static) {
    if dice.lost() {
        return;
    }
    let delay = dice.delay();
    tokio::spawn(async move {
        sleep(delay).await;
        send.await;
    });
}

async fn relay_tcp(listener: TcpListener, to: SocketAddr, dice: Dice) {
    let mut tasks = JoinSet::new();
    loop {
        let Ok((outside, _)) = listener.accept().await else { continue };
        let dice = dice.clone();
        tasks.spawn(async move {
            let Ok(inside) = TcpStream::connect(to).await else { return };
            let ((from_out, to_out), (from_in, to_in)) =
                (outside.into_split(), inside.into_split());
            tokio::join!(pump(from_out, to_in, &dice), pump(from_in, to_out, &dice));
        });
    }
}

/// In order, each piece no earlier than the one before.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, dice: &Dice) {
    let (pieces, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let reading = async move {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(length) = from.read(&mut bytes).await {
            let again = if dice.lost() { RETRANSMISSION } else { Duration::ZERO };
            let at = Instant::now() + dice.delay() + again;
            if length == 0 || pieces.send((at, bytes[..length].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_of_tcp_arrives_in_order_and_some_of_udp() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = TcpListener::bind(any).await.expect("a port");
        let to = server.local_addr().expect("bound");
        let sink = UdpSocket::bind(to).await.expect("the port");
        let weather = Weather { jitter: Duration::from_millis(5), loss: 0.3 };
        let relay = Relay::start(any, to, weather, 7).await;
        let mut client = TcpStream::connect(relay.address).await.expect("connects");
        let (mut accepted, _) = server.accept().await.expect("accepted");
        let sent: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        client.write_all(&sent).await.expect("written");
        client.shutdown().await.expect("shut");
        let mut received = Vec::new();
        accepted.read_to_end(&mut received).await.expect("read");
        assert_eq!(received, sent);
        let source = UdpSocket::bind(any).await.expect("a port");
        for _ in 0..100 {
            source.send_to(b"x", relay.address).await.expect("sent");
        }
        let (mut count, mut bytes) = (0, [0; 8]);
        let wait = Duration::from_millis(500);
        while tokio::time::timeout(wait, sink.recv(&mut bytes)).await.is_ok() {
            count += 1;
        }
        assert!((40..=95).contains(&count), "{count} of 100 arrived");
    }
}
