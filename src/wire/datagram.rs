//! Datagrams: whole messages behind a position, and what a viewer says of those that came.

use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::deframe::Raw;
use super::head::{BodyLen, put_message};
use super::limits::{DATAGRAM_HEAD_LEN, HEAD_LEN, MAX_HOLES, MAX_RANGES};
use super::{Kind, Moment, WireError};

/// Bytes of a link's datagrams by position, counted from 0 as they were sent, heads included.
pub type Span = Range<u64>;

/// A datagram that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The bytes that it has among all of its link.
    pub span: Span,
    /// What is left of its messages.
    rest: Bytes,
}

impl Datagram {
    /// Takes the head off.
    pub fn open(mut datagram: Bytes) -> Result<Self, WireError> {
        if datagram.len() < DATAGRAM_HEAD_LEN {
            return Err(WireError::Datagram);
        }
        let length = u64::try_from(datagram.len()).map_err(|_| WireError::Datagram)?;
        let position = datagram.get_u64();
        let end = position.checked_add(length).ok_or(WireError::Datagram)?;
        Ok(Self {
            span: position..end,
            rest: datagram,
        })
    }

    /// The next message; `None` behind the last. A datagram ends with a message's end.
    pub fn pull(&mut self) -> Result<Option<Raw>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.rest.len() < HEAD_LEN {
            return Err(WireError::Datagram);
        }
        let (kind, flags) = (self.rest.get_u8(), self.rest.get_u8());
        let length = BodyLen::from_wire([self.rest.get_u8(), self.rest.get_u8()])?.bytes();
        if self.rest.len() < length {
            return Err(WireError::Datagram);
        }
        let body = self.rest.split_to(length);
        Ok(Some(Raw { kind, flags, body }))
    }
}

/// Begins a datagram whose first byte is byte `position` of its link's.
pub fn begin_datagram(position: u64, out: &mut BytesMut) {
    out.put_u64(position);
}

/// Fills a datagram up to `size` bytes, as near as it can be: with a message of a kind that everybody skips.
pub fn pad_datagram(size: usize, out: &mut BytesMut) {
    let gap = size.saturating_sub(out.len());
    if let Some(body) = gap.checked_sub(HEAD_LEN)
        && let Ok(length) = u16::try_from(body)
    {
        out.put_slice(&[PADDING, 0]);
        out.put_u16(length);
        out.put_bytes(0, body);
    }
}

/// What came of a link's datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Of all bytes below this it is known whether they came.
    pub until: u64,
    /// How long ago the last of them came. Whole microseconds, at most 2^32 - 1 of them.
    pub held: Duration,
    /// Those of late that did not, in order; none empty, none beyond `until`, at most [`MAX_HOLES`].
    pub holes: Vec<Span>,
}

impl Arrivals {
    pub(super) fn put(&self, out: &mut BytesMut) -> Result<(), WireError> {
        if self.holes.len() > MAX_HOLES {
            return Err(range(Kind::Arrivals, "holes"));
        }
        put_message(out, Kind::Arrivals, |out| {
            out.put_u64(self.until);
            out.put_u32(u32::try_from(self.held.as_micros()).unwrap_or(u32::MAX));
            put_spans(&self.holes, out);
        })
    }

    pub(super) fn take(mut body: Bytes) -> Result<Self, WireError> {
        if body.len() < 12 {
            return Err(WireError::Short(Kind::Arrivals));
        }
        let until = body.get_u64();
        let held = Duration::from_micros(u64::from(body.get_u32()));
        let holes = take_spans(Kind::Arrivals, body, MAX_HOLES)?;
        if holes.last().is_some_and(|last| last.end > until) {
            return Err(range(Kind::Arrivals, "holes"));
        }
        Ok(Self { until, held, holes })
    }
}

/// When a frame of which datagrams brought the cells is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The frame.
    pub moment: Moment,
    /// The viewer lacks nothing of it if all these came; in order, none empty, at most [`MAX_RANGES`].
    pub needs: Vec<Span>,
}

impl Settled {
    pub(super) fn put(&self, out: &mut BytesMut) -> Result<(), WireError> {
        if self.needs.len() > MAX_RANGES {
            return Err(range(Kind::Settled, "needs"));
        }
        put_message(out, Kind::Settled, |out| {
            self.moment.put(out);
            put_spans(&self.needs, out);
        })
    }

    pub(super) fn take(mut body: Bytes) -> Result<Self, WireError> {
        let moment = Moment::take(Kind::Settled, &mut body)?;
        let needs = take_spans(Kind::Settled, body, MAX_RANGES)?;
        Ok(Self { moment, needs })
    }

    /// Bytes of the message with so many spans.
    pub const fn len(spans: usize) -> usize {
        HEAD_LEN + super::limits::MOMENT_LEN + spans * SPAN_LEN
    }
}

/// Each as where it begins and how long it is.
fn put_spans(spans: &[Span], out: &mut BytesMut) {
    for span in spans {
        out.put_u64(span.start);
        let length = span.end.saturating_sub(span.start);
        out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

fn take_spans(kind: Kind, mut body: Bytes, most: usize) -> Result<Vec<Span>, WireError> {
    if !body.len().is_multiple_of(SPAN_LEN) {
        return Err(WireError::Trailing(kind));
    }
    let count = body.len() / SPAN_LEN;
    if count > most {
        return Err(range(kind, "spans"));
    }
    let mut spans = Vec::with_capacity(count);
    let mut behind = 0;
    while body.has_remaining() {
        let start = body.get_u64();
        let length = u64::from(body.get_u32());
        let end = start.checked_add(length);
        let end = end.filter(|_| length > 0 && start >= behind);
        behind = end.ok_or_else(|| range(kind, "spans"))?;
        spans.push(start..behind);
    }
    Ok(spans)
}

const fn range(kind: Kind, field: &'static str) -> WireError {
    WireError::Range { kind, field }
}

/// No kind of message.
const PADDING: u8 = 255;

/// Bytes of a span.
const SPAN_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::MediaTime;
    use crate::wire::Message;

    fn datagram(position: u64, messages: &[Message]) -> Bytes {
        let mut out = BytesMut::new();
        begin_datagram(position, &mut out);
        for message in messages {
            message.encode(&mut out).unwrap();
        }
        out.freeze()
    }

    fn moment() -> Moment {
        Moment {
            rung: 3,
            frame: 9,
            capture: MediaTime::from_micros(77),
        }
    }

    #[test]
    fn a_datagram_says_where_it_stands_and_gives_its_messages() {
        let messages = [
            Message::FrameEnd(moment()),
            Message::Control(Bytes::from_static(b"{}")),
        ];
        let bytes = datagram(1000, &messages);
        let length = u64::try_from(bytes.len()).unwrap();
        let mut opened = Datagram::open(bytes).unwrap();
        assert_eq!(opened.span, 1000..1000 + length);
        for message in messages {
            let raw = opened.pull().unwrap().unwrap();
            assert_eq!(Message::decode(raw), Ok(Some(message)));
        }
        assert_eq!(opened.pull(), Ok(None));
    }

    #[test]
    fn a_datagram_cut_anywhere_but_between_messages_is_none() {
        let whole = datagram(5, &[Message::FrameEnd(moment())]);
        for end in 0..whole.len() {
            let cut = whole.slice(..end);
            let told = Datagram::open(cut).and_then(|mut cut| {
                while cut.pull()?.is_some() {}
                Ok(())
            });
            assert_eq!(told.is_ok(), end == DATAGRAM_HEAD_LEN, "{end}");
        }
        assert!(Datagram::open(datagram(u64::MAX, &[])).is_err());
    }

    #[test]
    fn spans_that_overlap_or_are_empty_or_too_many_are_refused() {
        let decode = |message: &Message| {
            let mut out = BytesMut::new();
            message.encode(&mut out)?;
            let body = out.freeze().slice(HEAD_LEN..);
            let settled = matches!(message, Message::Settled(_));
            let kind = if settled {
                Kind::Settled
            } else {
                Kind::Arrivals
            } as u8;
            Message::decode(Raw {
                kind,
                flags: 0,
                body,
            })
        };
        let settled = |needs: Vec<Span>| {
            Message::Settled(Settled {
                moment: moment(),
                needs,
            })
        };
        let arrivals = |until, holes: Vec<Span>| {
            Message::Arrivals(Arrivals {
                until,
                held: Duration::from_micros(3),
                holes,
            })
        };
        for good in [
            settled(vec![]),
            settled(vec![3..5, 5..9]),
            arrivals(9, vec![3..5, 8..9]),
        ] {
            assert_eq!(decode(&good), Ok(Some(good)));
        }
        for bad in [
            settled(vec![3..5, 4..9]),
            settled(vec![Span { start: 3, end: 3 }]),
            settled(vec![3..4; MAX_RANGES + 1]),
            arrivals(8, vec![3..5, 8..9]),
            arrivals(9_000, (0..100).map(|n| n * 2..n * 2 + 1).collect()),
        ] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
    }
}
