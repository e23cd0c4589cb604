//! A byte stream cut into messages.

use bytes::{Bytes, BytesMut};

use super::WireError;
use super::head::BodyLen;
use super::limits::HEAD_LEN;

/// Takes bytes as they come, gives messages as they are whole. Between two pulls that gave `None` it holds less than
/// one message.
#[derive(Debug, Default)]
pub struct Deframer {
    buf: BytesMut,
    taken: u64,
}

/// A message as it stood on the wire: its kind may be unknown, its body may be nonsense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// See [`super::Kind`].
    pub kind: u8,
    /// None are defined yet; a receiver ignores them.
    pub flags: u8,
    /// A slice of what was pushed, without a copy.
    pub body: Bytes,
}

impl Deframer {
    /// Nothing pushed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all of `bytes`, leaving it empty but with what capacity it has left behind them. Copies only if a message
    /// began in another allocation.
    pub fn push(&mut self, bytes: &mut BytesMut) {
        let taken = bytes.split();
        if self.buf.is_empty() {
            self.buf = taken;
        } else {
            self.buf.unsplit(taken);
        }
    }

    /// The next whole message; `None` if it has not come yet. After an error the stream cannot be read any further.
    pub fn pull(&mut self) -> Result<Option<Raw>, WireError> {
        let Some(&[kind, flags, high, low]) = self.buf.first_chunk::<HEAD_LEN>() else {
            return Ok(None);
        };
        let len = BodyLen::from_wire([high, low])?.bytes();
        if self.buf.len() < HEAD_LEN + len {
            return Ok(None);
        }
        let mut message = self.buf.split_to(HEAD_LEN + len);
        self.taken += u64::try_from(message.len()).unwrap_or(u64::MAX);
        let body = message.split_off(HEAD_LEN).freeze();
        Ok(Some(Raw { kind, flags, body }))
    }

    /// To be asked when the stream has ended: an end inside a message is an error.
    pub fn finish(&self) -> Result<(), WireError> {
        if self.buf.is_empty() {
            Ok(())
        } else {
            Err(WireError::EndInside {
                have: self.buf.len(),
            })
        }
    }

    /// What was pushed and not pulled, for somebody else to read on.
    pub fn into_rest(self) -> BytesMut {
        self.buf
    }

    /// Bytes that were pushed and not pulled.
    pub fn waiting(&self) -> usize {
        self.buf.len()
    }

    /// Bytes of all messages that were pulled: where in the stream the next one begins.
    pub const fn position(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::limits::MAX_BODY;

    fn framed(bodies: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut stream = Vec::new();
        for (kind, body) in bodies {
            stream.extend([*kind, 0]);
            stream.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            stream.extend(body);
        }
        stream
    }

    fn drain(deframer: &mut Deframer) -> Vec<(u8, Vec<u8>)> {
        std::iter::from_fn(|| deframer.pull().unwrap())
            .map(|raw| (raw.kind, raw.body.to_vec()))
            .collect()
    }

    #[test]
    fn every_split_point_gives_the_same_messages() {
        let bodies = vec![
            (0, b"{}".to_vec()),
            (9, Vec::new()),
            (2, vec![7; 300]),
            (4, vec![1; 20]),
        ];
        let stream = framed(&bodies);
        for at in 0..=stream.len() {
            let mut deframer = Deframer::new();
            let (first, second) = stream.split_at(at);
            deframer.push(&mut BytesMut::from(first));
            let mut got = drain(&mut deframer);
            deframer.push(&mut BytesMut::from(second));
            got.extend(drain(&mut deframer));
            assert_eq!(got, bodies, "split at {at}");
            assert_eq!(deframer.finish(), Ok(()));
            assert_eq!(usize::try_from(deframer.position()).unwrap(), stream.len());
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_from_its_head_alone() {
        let mut deframer = Deframer::new();
        deframer.push(&mut BytesMut::from(&[2, 0, 0x3f, 0xfd][..]));
        let limit = MAX_BODY;
        let len = limit + 1;
        assert_eq!(deframer.pull(), Err(WireError::TooLong { len, limit }));
        let mut deframer = Deframer::new();
        deframer.push(&mut BytesMut::from(&[2, 0, 0x3f, 0xfc][..]));
        assert_eq!(deframer.pull(), Ok(None));
    }

    #[test]
    fn an_end_inside_a_message_is_an_error() {
        let mut deframer = Deframer::new();
        deframer.push(&mut BytesMut::from(&[0, 0, 0][..]));
        assert_eq!(deframer.pull(), Ok(None));
        assert_eq!(deframer.finish(), Err(WireError::EndInside { have: 3 }));
    }

    #[test]
    fn messages_are_slices_of_what_was_read_without_a_copy() {
        let mut read = BytesMut::from(&framed(&[(0, vec![5; 100]), (1, vec![6; 100])])[..]);
        let range = read.as_ptr_range();
        let mut deframer = Deframer::new();
        deframer.push(&mut read);
        while let Some(raw) = deframer.pull().unwrap() {
            assert!(range.contains(&raw.body.as_ptr()));
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_messages(
            bodies in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..400)), 0..12),
            cuts in proptest::collection::vec(1_usize..200, 1..40),
        ) {
            let stream = framed(&bodies);
            let mut deframer = Deframer::new();
            let mut got = Vec::new();
            let mut rest = &stream[..];
            let mut read = BytesMut::with_capacity(512);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                read.extend_from_slice(now);
                deframer.push(&mut read);
                got.extend(drain(&mut deframer));
                rest = later;
            }
            prop_assert_eq!(got, bodies);
            prop_assert_eq!(deframer.finish(), Ok(()));
        }
    }
}
