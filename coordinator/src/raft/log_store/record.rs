//! One stored value: its JSON behind a checksum that binds it to its place.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

const CHECKSUM_BYTES: usize = 8;

/// `place` is the key under which the bytes are stored, so that a record which turns up under
/// another one is not taken for it.
pub(super) fn encode<T: Serialize>(place: &[u8], value: &T) -> io::Result<Vec<u8>> {
    Ok(sealed(place, &serde_json::to_vec(value).map_err(io::Error::other)?))
}

pub(super) fn sealed(place: &[u8], json: &[u8]) -> Vec<u8> {
    [&checksum(place, json)[..], json].concat()
}

pub(super) fn decode<T: DeserializeOwned>(place: &[u8], bytes: &[u8]) -> io::Result<T> {
    let (sum, json) = bytes
        .split_at_checked(CHECKSUM_BYTES)
        .ok_or_else(|| damaged(format!("a record of {} bytes is cut short", bytes.len())))?;
    if sum != checksum(place, json) {
        return Err(damaged("a record's checksum does not match its content".to_owned()));
    }
    serde_json::from_slice(json)
        .map_err(|e| damaged(format!("a record does not read (was a newer version here?): {e}")))
}

/// Something on the disk is not what was written there.
pub(super) fn damaged(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn checksum(place: &[u8], json: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(place.len() as u64).to_le_bytes()).update(place).update(json);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    sum
}
