//! Which chunks of a model are here and verified: a bitmap, and its form on disk.

/// A set of chunk indices below a fixed count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChunkSet {
    count: u32,
    bits: Vec<u8>,
}

impl ChunkSet {
    pub(super) fn new(count: usize) -> Self {
        Self { count: count as u32, bits: vec![0; count.div_ceil(8)] }
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        index < self.count && self.bits[index as usize / 8] >> (index % 8) & 1 == 1
    }

    pub(super) fn insert(&mut self, index: u32) {
        if index < self.count {
            self.bits[index as usize / 8] |= 1 << (index % 8);
        }
    }

    pub(super) fn remove(&mut self, index: u32) {
        if index < self.count {
            self.bits[index as usize / 8] &= !(1 << (index % 8));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        (0..self.count).all(|index| self.contains(index))
    }

    /// Count (u32, little-endian), then the bitmap. No checksum: the file is replaced as a whole.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.bits);
        bytes
    }

    /// `None` when the bytes are not a set below `count`.
    pub(super) fn decode(bytes: &[u8], count: usize) -> Option<Self> {
        let (head, bits) = bytes.split_first_chunk::<4>()?;
        let same = u32::from_le_bytes(*head) as usize == count && bits.len() == count.div_ceil(8);
        same.then(|| Self { count: count as u32, bits: bits.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_back_and_one_of_another_model_does_not() {
        let mut set = ChunkSet::new(11);
        set.insert(0);
        set.insert(10);
        set.insert(11);
        assert_eq!(ChunkSet::decode(&set.encode(), 11), Some(set.clone()));
        assert_eq!(ChunkSet::decode(&set.encode(), 12), None);
        assert_eq!(ChunkSet::decode(&set.encode()[..5], 11), None);
        set.remove(10);
        assert!(set.contains(0) && !set.contains(10) && !set.contains(11) && !set.is_full());
    }
}
