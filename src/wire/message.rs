//! A message with its body understood, both directions.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::cells::take_cells;
use super::head::put_message;
use super::limits::{AUDIO_HEAD_LEN, AUDIO_SAMPLES};
use super::{Ack, Arrivals, CellPart, CellsWriter, Kind, Moment, Raw, Settled, WireError};
use crate::media::{AudioCodec, AudioPacket, CellIndex, MAX_AUDIO_PACKET, MediaTime, SAMPLE_RATE};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// JSON, yet to be parsed as [`super::ClientControl`] or [`super::ServerControl`].
    Control(Bytes),
    /// Sound.
    Audio(AudioPacket),
    /// Whole cells, at least one.
    Cells {
        /// To what they belong.
        moment: Moment,
        /// Where each stands, and its bytes (never none).
        cells: Vec<(CellIndex, Bytes)>,
    },
    /// A piece of a large cell.
    CellPart(CellPart),
    /// Nothing lacks of this frame any more.
    FrameEnd(Moment),
    /// How far a viewer has read.
    Ack(Ack),
    /// Which datagrams came to a viewer.
    Arrivals(Arrivals),
    /// Nothing lacks of this frame once these datagrams came.
    Settled(Settled),
}

impl Message {
    /// `None` for what a newer peer may send and this code skips: an unknown kind, sound of an unknown codec.
    pub fn decode(raw: Raw) -> Result<Option<Self>, WireError> {
        let mut body = raw.body;
        let Some(kind) = Kind::from_wire(raw.kind) else {
            return Ok(None);
        };
        Ok(Some(match kind {
            Kind::Control => Self::Control(body),
            Kind::Audio => return Ok(take_audio(body)?.map(Self::Audio)),
            Kind::Cells => Self::Cells {
                moment: Moment::take(kind, &mut body)?,
                cells: take_cells(body)?,
            },
            Kind::CellPart => Self::CellPart(CellPart::take(body)?),
            Kind::FrameEnd => {
                let moment = Moment::take(kind, &mut body)?;
                if body.has_remaining() {
                    return Err(WireError::Trailing(kind));
                }
                Self::FrameEnd(moment)
            }
            Kind::Ack => Self::Ack(Ack::take(body)?),
            Kind::Arrivals => Self::Arrivals(Arrivals::take(body)?),
            Kind::Settled => Self::Settled(Settled::take(body)?),
        }))
    }

    /// Appends the message to `out`; an error (a value that the wire cannot say) leaves `out` as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), WireError> {
        match self {
            Self::Control(json) => put_message(out, Kind::Control, |out| out.put_slice(json)),
            Self::Audio(packet) => put_audio(out, packet),
            Self::Cells { moment, cells } => {
                let start = out.len();
                let Some(((index, bytes), rest)) = cells.split_first() else {
                    return Err(WireError::Short(Kind::Cells));
                };
                let mut writer = CellsWriter::begin(out, *moment, *index, bytes)?;
                for (index, bytes) in rest {
                    writer
                        .push(out, *index, bytes)
                        .inspect_err(|_| out.truncate(start))?;
                }
                Ok(())
            }
            Self::CellPart(part) => part.put(out),
            Self::FrameEnd(moment) => put_message(out, Kind::FrameEnd, |out| moment.put(out)),
            Self::Ack(ack) => ack.put(out),
            Self::Arrivals(arrivals) => arrivals.put(out),
            Self::Settled(settled) => settled.put(out),
        }
    }
}

/// Appends a packet of sound as a message.
pub fn put_audio(out: &mut BytesMut, packet: &AudioPacket) -> Result<(), WireError> {
    // To the nearest, since a sample is no whole number of nanoseconds.
    let samples = (packet.duration.as_nanos() * u128::from(SAMPLE_RATE) + NANOS / 2) / NANOS;
    let samples = u16::try_from(samples)
        .ok()
        .filter(|samples| AUDIO_SAMPLES.contains(samples))
        .ok_or(audio_range("samples"))?;
    if packet.bytes.is_empty() || packet.bytes.len() > MAX_AUDIO_PACKET {
        return Err(audio_range("length"));
    }
    put_message(out, Kind::Audio, |out| {
        out.put_u8(packet.codec as u8);
        out.put_u8(0);
        out.put_u16(samples);
        out.put_u64(packet.seq);
        out.put_u64(packet.capture.as_micros());
        out.put_slice(&packet.bytes);
    })
}

fn take_audio(mut body: Bytes) -> Result<Option<AudioPacket>, WireError> {
    if body.len() <= AUDIO_HEAD_LEN {
        return Err(WireError::Short(Kind::Audio));
    }
    let codec = body.get_u8();
    let _reserved = body.get_u8();
    let samples = body.get_u16();
    let seq = body.get_u64();
    let capture = MediaTime::from_micros(body.get_u64());
    let Some(codec) = AudioCodec::from_wire(codec) else {
        return Ok(None);
    };
    if !AUDIO_SAMPLES.contains(&samples) {
        return Err(audio_range("samples"));
    }
    if body.len() > MAX_AUDIO_PACKET {
        return Err(audio_range("length"));
    }
    Ok(Some(AudioPacket {
        codec,
        seq,
        capture,
        duration: Duration::from_nanos(u64::from(samples) * 1_000_000_000 / u64::from(SAMPLE_RATE)),
        bytes: body,
    }))
}

/// In a second.
const NANOS: u128 = 1_000_000_000;

const fn audio_range(field: &'static str) -> WireError {
    WireError::Range {
        kind: Kind::Audio,
        field,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::limits::{MAX_BODY, MAX_INLINE_CELL, MAX_MESSAGE, MAX_PART};
    use crate::wire::{Deframer, Text};

    fn moment() -> impl Strategy<Value = Moment> {
        (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(rung, frame, us)| Moment {
            rung,
            frame,
            capture: MediaTime::from_micros(us),
        })
    }

    fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), len).prop_map(Bytes::from)
    }

    fn message() -> impl Strategy<Value = Message> {
        let cell = (0..=0xffff_u32, bytes(1..300));
        let packet = (
            any::<bool>(),
            any::<u64>(),
            any::<u64>(),
            1_u64..48,
            bytes(1..4097),
        );
        let part = (
            moment(),
            0..=0xffff_u32,
            0..1_000_000_u32,
            0..1000_u32,
            bytes(1..2000),
        );
        prop_oneof![
            bytes(0..500).prop_map(Message::Control),
            packet.prop_map(|(opus, seq, us, twos, bytes)| Message::Audio(AudioPacket {
                codec: if opus {
                    AudioCodec::Opus
                } else {
                    AudioCodec::Pcm
                },
                seq,
                capture: MediaTime::from_micros(us),
                duration: Duration::from_micros(twos * 2500),
                bytes,
            })),
            (moment(), proptest::collection::vec(cell, 1..40))
                .prop_map(|(moment, cells)| Message::Cells { moment, cells }),
            part.prop_map(|(moment, index, offset, more, bytes)| {
                let total = offset + u32::try_from(bytes.len()).unwrap() + more;
                Message::CellPart(CellPart {
                    moment,
                    index,
                    offset,
                    total,
                    bytes,
                })
            }),
            moment().prop_map(Message::FrameEnd),
            (any::<u64>(), any::<u32>()).prop_map(|(received, us)| Message::Ack(Ack {
                received,
                held: Duration::from_micros(u64::from(us)),
            })),
        ]
    }

    fn raw(bytes: &[u8]) -> Raw {
        let mut deframer = Deframer::new();
        deframer.push(&mut BytesMut::from(bytes));
        let raw = deframer.pull().unwrap().unwrap();
        assert_eq!(deframer.finish(), Ok(()));
        raw
    }

    #[test]
    fn the_largest_cell_and_part_fill_a_message_exactly() {
        let moment = Moment {
            rung: 1,
            frame: 2,
            capture: MediaTime::ZERO,
        };
        let mut out = BytesMut::new();
        let bytes = vec![0; MAX_INLINE_CELL];
        let mut writer = CellsWriter::begin(&mut out, moment, 0, &bytes).unwrap();
        assert_eq!(out.len(), MAX_MESSAGE);
        let error = writer.push(&mut out, 1, &[1]);
        assert_eq!(
            error,
            Err(WireError::TooLong {
                len: MAX_BODY + 5,
                limit: MAX_BODY
            })
        );
        assert_eq!(out.len(), MAX_MESSAGE, "a failed push leaves no trace");
        out.clear();
        let part = CellPart {
            moment,
            index: 0,
            offset: 0,
            total: 1 << 20,
            bytes: Bytes::from(vec![0; MAX_PART]),
        };
        Message::CellPart(part).encode(&mut out).unwrap();
        assert_eq!(out.len(), MAX_MESSAGE);
    }

    #[test]
    fn a_text_of_any_size_still_fits_a_message() {
        let reason = Text::new(&"\"".repeat(10_000));
        let mut out = BytesMut::new();
        let code = crate::wire::CloseCode::Done;
        let goodbye = crate::wire::ClientControl::Goodbye { code, reason };
        goodbye.encode(&mut out).unwrap();
        let raw = raw(&out);
        assert_eq!(crate::wire::ClientControl::decode(&raw.body), Ok(goodbye));
    }

    #[test]
    fn every_number_of_samples_comes_back() {
        for samples in AUDIO_SAMPLES {
            let mut body = BytesMut::new();
            body.put_slice(&[2, 0]);
            body.put_u16(samples);
            body.put_bytes(7, 17);
            let raw_audio = Raw {
                kind: Kind::Audio as u8,
                flags: 0,
                body: body.freeze(),
            };
            let message = Message::decode(raw_audio.clone()).unwrap().unwrap();
            let mut out = BytesMut::new();
            message.encode(&mut out).unwrap();
            assert_eq!(raw(&out), raw_audio, "{samples}");
        }
    }

    proptest! {
        #[test]
        fn every_message_comes_back_as_it_went(message in message()) {
            let mut out = BytesMut::new();
            message.encode(&mut out).unwrap();
            prop_assert!(out.len() <= MAX_MESSAGE);
            prop_assert_eq!(Message::decode(raw(&out)), Ok(Some(message)));
        }

        #[test]
        fn a_message_cut_short_is_an_error_or_another_whole_message(message in message(), keep in any::<prop::sample::Index>()) {
            let mut out = BytesMut::new();
            message.encode(&mut out).unwrap();
            let raw = raw(&out);
            let keep = keep.index(raw.body.len().max(1));
            let cut = Raw { body: raw.body.slice(..keep.min(raw.body.len())), ..raw };
            if let Ok(Some(other)) = Message::decode(cut.clone()) {
                let mut again = BytesMut::new();
                other.encode(&mut again).unwrap();
                prop_assert_eq!(&again[4..], &cut.body[..]);
            }
        }

        #[test]
        fn no_bytes_panic(kind in 0_u8..9, body in bytes(0..400)) {
            let _ = Message::decode(Raw { kind, flags: 0, body: body.clone() });
            let _ = crate::wire::ClientControl::decode(&body);
            let _ = crate::wire::ServerControl::decode(&body);
        }
    }
}
