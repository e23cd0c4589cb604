//! What can be wrong with bytes.

use super::Kind;

/// Bytes that are no message of this protocol. All of them are the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A head announces more than a message may have.
    #[error("a message body of {len} bytes, more than {limit}")]
    TooLong {
        /// As announced, in bytes.
        len: usize,
        /// The most, in bytes.
        limit: usize,
    },
    /// The stream ended inside a message.
    #[error("the stream ended inside a message, after {have} bytes of it")]
    EndInside {
        /// Bytes of the message that came.
        have: usize,
    },
    /// A datagram does not consist of a head and whole messages.
    #[error("a datagram that does not consist of whole messages")]
    Datagram,
    /// A body is shorter than its fields.
    #[error("a {0} message that is cut short")]
    Short(Kind),
    /// A body is longer than its fields.
    #[error("a {0} message with bytes behind its end")]
    Trailing(Kind),
    /// A field has a value that it must not have.
    #[error("a {kind} message whose {field} is out of range")]
    Range {
        /// What message.
        kind: Kind,
        /// The field's name in the specification.
        field: &'static str,
    },
    /// A control message is no JSON object, or lacks a field, or a field has another type.
    #[error("a control message that is not valid, at column {column}")]
    Control {
        /// Where, in bytes from 1; 0 if that cannot be said.
        column: usize,
    },
}
