//! Reads a body, up to a limit and a moment, and says how it ended.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is all here.
    Whole,
    /// There is more than the limit allows.
    TooLarge,
    /// The client took too long.
    Late,
    /// The client stopped, or broke the rules of the transfer.
    Broken,
}

/// Reads until the end, the limit, or the moment; what was read until then is there in each case.
pub(crate) async fn read<B>(mut body: B, limit: usize, by: Instant) -> (Bytes, End)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut gathered = Gathered::default();
    loop {
        let data = match timeout_at(by, body.frame()).await {
            Err(_) => return (gathered.into_bytes(), End::Late),
            Ok(None) => return (gathered.into_bytes(), End::Whole),
            Ok(Some(Err(_))) => return (gathered.into_bytes(), End::Broken),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        let room = limit - gathered.len();
        if data.len() > room {
            gathered.push(data.slice(..room));
            return (gathered.into_bytes(), End::TooLarge);
        }
        gathered.push(data);
    }
}

/// Nearly every callback comes in one piece, which is then not copied.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(self.first.len() + data.len());
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::iter;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn pieces_become_one() {
        let check = async |pieces: &[&'static str], limit: usize, expect: &str, end: End| {
            let frames = pieces
                .iter()
                .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))));
            let frames: Vec<_> = frames.collect();
            let got = read(StreamBody::new(iter(frames)), limit, Instant::now() + crate::pace::BUDGET).await;
            assert_eq!(got, (Bytes::copy_from_slice(expect.as_bytes()), end));
        };
        check(&[], 4, "", End::Whole).await;
        check(&["abcd"], 4, "abcd", End::Whole).await;
        check(&["ab", "", "cd"], 4, "abcd", End::Whole).await;
        check(&["abcde"], 4, "abcd", End::TooLarge).await;
        check(&["ab", "cd", "e"], 4, "abcd", End::TooLarge).await;
    }
}
