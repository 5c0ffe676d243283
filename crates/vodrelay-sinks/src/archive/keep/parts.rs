//! An image on its way into the store, cut into parts of one size.

use std::collections::VecDeque;

use bytes::Bytes;
use object_store::{PutPayload, PutPayloadMut};

/// S3 takes no part smaller than this but the last, and R2 wants all but the last of one size. At most two of them are
/// in memory: one that is filled while the other is on its way.
const PART: usize = 5 << 20;
/// How memory for a part grows. Small images are many.
const BLOCK: usize = 64 << 10;

/// Full parts, and the one that is being filled.
#[derive(Debug)]
pub(super) struct Parts {
    full: VecDeque<PutPayload>,
    filling: PutPayloadMut,
}

impl Default for Parts {
    fn default() -> Self {
        Self { full: VecDeque::new(), filling: empty() }
    }
}

impl Parts {
    /// The bytes that are in memory.
    pub(super) fn len(&self) -> usize {
        self.full.iter().map(PutPayload::content_length).sum::<usize>() + self.filling.content_length()
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = PART - self.filling.content_length();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.filling.extend_from_slice(now);
            rest = later;
            if self.filling.content_length() == PART {
                self.full.push_back(std::mem::replace(&mut self.filling, empty()).freeze());
            }
        }
    }

    /// The next full part, if there is one.
    pub(super) fn next_full(&mut self) -> Option<PutPayload> {
        self.full.pop_front()
    }

    /// All that is left.
    pub(super) fn rest(self) -> PutPayload {
        let parts = self.full.into_iter().chain([self.filling.freeze()]);
        parts.flat_map(|part| part.iter().cloned().collect::<Vec<Bytes>>()).collect()
    }
}

fn empty() -> PutPayloadMut {
    PutPayloadMut::new().with_block_size(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_one_size_and_nothing_is_lost() {
        for chunk in [1 << 20, 1_000_003, PART, 3 * PART + 1] {
            let bytes: Vec<u8> = (0..12 << 20).map(|at: u32| (at % 251) as u8).collect();
            let mut parts = Parts::default();
            bytes.chunks(chunk).for_each(|chunk| parts.push(chunk));
            assert_eq!(parts.len(), bytes.len());
            let mut again = Vec::new();
            let first = parts.next_full().unwrap();
            assert_eq!(first.content_length(), PART);
            for part in [first, parts.rest()] {
                part.iter().for_each(|piece| again.extend_from_slice(piece));
            }
            assert!(again == bytes, "chunks of {chunk}");
        }
    }

    #[test]
    fn an_empty_image_is_an_empty_part() {
        let mut parts = Parts::default();
        assert!(parts.next_full().is_none());
        assert_eq!((parts.len(), parts.rest().content_length()), (0, 0));
    }
}
