#![doc = include_str!("README.md")]

mod ack;
mod cells;
mod close;
mod command;
mod control;
mod datagram;
mod deframe;
mod error;
mod head;
mod hello;
mod ident;
mod level;
pub mod limits;
mod message;
mod rung;
mod text;

pub use ack::Ack;
pub use cells::{CellPart, CellsWriter, Moment};
pub use close::CloseCode;
pub use command::{Answer, Command, ServerInfo, StreamStatus, ViewerStatus};
pub use control::{ClientControl, Report, ServerControl, SourceState, StreamInfo};
pub use datagram::{Arrivals, Datagram, Settled, Span, begin_datagram, pad_datagram};
pub use deframe::{Deframer, Raw};
pub use error::WireError;
pub use head::Kind;
pub use hello::{Hello, Proof, PublishInfo, PublisherKey, TokenProof};
pub use ident::{IdentError, Resume, ResumeSecret, SessionId};
pub use level::LevelName;
pub use message::{Message, put_audio};
pub use rung::{Coding, Pixels, RungError, RungInfo};
pub use text::{StreamName, StreamNameError, Text};
