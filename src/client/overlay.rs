//! The lines of the statistics overlay.

use super::ladder::Between;
use crate::{media::Size, playback::Summary};

/// What the figures of a second do not tell.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) stream: String,
    pub(super) size: Option<Size>,
    pub(super) transport: &'static str,
    pub(super) cipher: String,
    pub(super) server: String,
    pub(super) between: Option<Between>,
}

/// Lines for the overlay.
pub(super) fn lines(about: &About, second: &Summary) -> Vec<String> {
    let size = about
        .size
        .map_or_else(|| "no picture".to_owned(), |size| size.to_string());
    #[expect(clippy::cast_precision_loss, reason = "a figure for the eye")]
    let (fps, mbps) = (
        second.frames_shown as f64 * 1000.0 / (second.duration_ms.max(1) as f64),
        second.bitrate_bps as f64 / 1e6,
    );
    let ms =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let latency = second.latency_ms;
    let mut lines = vec![
        format!("{} {size} {fps:.1} fps {mbps:.1} Mbit/s", about.stream),
        format!(
            "delay {} ms, 99 % below {} ms",
            ms(latency.p50),
            ms(latency.p99)
        ),
        format!(
            "sound {} packets, {} lost, off the picture by {} ms",
            second.audio_packets,
            second.audio_lost,
            ms(second.av_skew_ms.p50)
        ),
        format!(
            "{} to {}, {}",
            second.transport.as_deref().unwrap_or("-"),
            about.server,
            about.cipher
        ),
        format!(
            "round trip {} ms, and {} held on the way",
            ms(second.rtt_ms),
            ms(second.held_ms)
        ),
    ];
    lines.extend(about.between.as_ref().map(Between::to_string));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playback::{Latencies, Skew};

    #[test]
    fn size_rate_delay_transport_cipher_and_round_trip_are_shown() {
        let about = About {
            stream: "cam1".to_owned(),
            size: Size::new(1280, 720).ok(),
            transport: "tls",
            between: Some(Between::Inspection("Corp".to_owned())),
            cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            server: "127.0.0.1:443".to_owned(),
        };
        let second = Summary {
            duration_ms: 1000,
            transport: Some("tls".to_owned()),
            first_frame_ms: None,
            frames_shown: 30,
            frames_partial: 0,
            frames_repeated: 0,
            video_gap_max_ms: 34.0,
            latency_ms: Latencies {
                p50: Some(6.04),
                p95: None,
                p99: Some(9.0),
                max: None,
            },
            audio_packets: 50,
            audio_lost: 0,
            audio_gap_max_ms: 0.0,
            av_skew_ms: Skew::default(),
            bytes_received: 1_250_000,
            bitrate_bps: 10_000_000,
            rtt_ms: Some(0.25),
            held_ms: Some(0.1),
            switches: 0,
        };
        let shown = lines(&about, &second).join("\n");
        for part in [
            "1280x720 30.0 fps 10.0 Mbit/s",
            "6.0 ms",
            "9.0 ms",
            "tls to 127.0.0.1:443",
            "TLS_AES_128",
            "inspected by Corp, sealed inside",
            "0.2",
            "0.1 held",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
