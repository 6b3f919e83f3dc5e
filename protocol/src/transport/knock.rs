//! Whether QUIC datagrams reach a port and come back, without an identity: a packet of a version
//! that does not exist, which every QUIC server answers with the versions that do (RFC 9000, 6).

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngCore;
use tokio::net::UdpSocket;

/// A server answers only datagrams that could begin a connection.
const DATAGRAM_BYTES: usize = 1200;
/// Reserved for exactly this: no version looks like it.
const NO_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
const ID_BYTES: usize = 8;

/// Sends `times` datagrams to `address`, and counts answers until `patience` after the last.
pub async fn knock(address: SocketAddr, times: u32, patience: Duration) -> std::io::Result<u32> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    let mut id = [0; ID_BYTES];
    rand::rng().fill_bytes(&mut id);
    let packet = packet(&id);
    for _ in 0..times {
        // A port that nobody has says so by ICMP, at the next call; the others may get through.
        let _ = socket.send(&packet).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut answered = 0;
    let counting = async {
        let mut buffer = [0; DATAGRAM_BYTES];
        while answered < times {
            match socket.recv(&mut buffer).await {
                Ok(bytes) if is_answer(&buffer[..bytes], &id) => answered += 1,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    let _ = tokio::time::timeout(patience, counting).await;
    Ok(answered)
}

/// Long header, version, both connection ids; the rest is padding.
fn packet(id: &[u8; ID_BYTES]) -> Vec<u8> {
    let mut packet = vec![0xc0];
    packet.extend(NO_VERSION);
    for _ in 0..2 {
        packet.push(ID_BYTES as u8);
        packet.extend(id);
    }
    packet.resize(DATAGRAM_BYTES, 0);
    packet
}

/// A version negotiation: long header, version 0, our ids.
fn is_answer(packet: &[u8], id: &[u8; ID_BYTES]) -> bool {
    let long = packet.first().is_some_and(|first| first & 0x80 != 0);
    let ids = packet.get(5).is_some_and(|length| usize::from(*length) == ID_BYTES);
    long && ids && packet.get(1..5) == Some(&[0; 4]) && packet.get(6..6 + ID_BYTES) == Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_speaks_no_quic_answers_none() {
        let echo = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = echo.local_addr().expect("bound");
        let patience = Duration::from_millis(100);
        let silent = knock(address, 3, patience).await.expect("sent");
        drop(echo);
        let closed = knock(address, 3, patience).await.expect("sent");
        assert_eq!((silent, closed), (0, 0));
    }
}
