//! What nokhwa cannot do on Linux: bring a camera into a state in which nokhwa can open it.

use std::io;

use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, FourCC};

/// nokhwa refuses a camera that stands at a fractional rate (25/2) or at a format that it does not know, even when
/// asked for something else. Sets a whole rate and a known format; does nothing to a camera that is fine.
pub(super) fn settle(index: u32) -> io::Result<()> {
    let device = Device::new(usize::try_from(index).unwrap_or(usize::MAX))?;
    let mut format = device.format()?;
    let offered: Vec<FourCC> = device.enum_formats()?.iter().map(|f| f.fourcc).collect();
    if !KNOWN.contains(&&format.fourcc.repr) {
        let Some(known) = KNOWN
            .iter()
            .find(|k| offered.iter().any(|o| o.repr == ***k))
        else {
            return Ok(());
        };
        format.fourcc = FourCC::new(known);
        format = device.set_format(&format)?;
    }
    let interval = device.params()?.interval;
    if interval.numerator == 1 {
        return Ok(());
    }
    for fps in RATES {
        if device
            .set_params(&Parameters::with_fps(fps))?
            .interval
            .numerator
            == 1
        {
            break;
        }
    }
    tracing::debug!(index, %format, %interval, "camera settled");
    Ok(())
}

/// Formats that nokhwa knows and we understand.
const KNOWN: [&[u8; 4]; 3] = [b"MJPG", b"YUYV", b"NV12"];

/// Whole rates that a camera may have at the size at which it stands.
const RATES: [u32; 6] = [30, 25, 15, 10, 5, 1];
