//! A viewer's figures as words.

use crate::{client::Connected, playback::Summary};

pub(super) fn connected(connected: &Connected) -> String {
    let mut words = match connected.first_frame_ms {
        Some(ms) => format!(
            "connected over {}, first picture after {ms:.0} ms",
            connected.transport
        ),
        None => format!("connected over {}", connected.transport),
    };
    if let Some(proxy) = &connected.proxy {
        words.push_str(&format!("; through the proxy {proxy}"));
    }
    if let Some(by) = &connected.inspected {
        words.push_str(&format!(
            "; this network is inspected by {by}, all is sealed inside"
        ));
    }
    if let Some(by) = &connected.front {
        words.push_str(&format!(
            "; through a front whose certificate is from {by}, all is sealed inside"
        ));
    }
    words
}

pub(super) fn summary(summary: &Summary) -> String {
    let ms =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} ms"));
    let latency = summary.latency_ms;
    #[expect(clippy::cast_precision_loss, reason = "figures for the eye")]
    let (seconds, mbps) = (
        summary.duration_ms as f64 / 1000.0,
        summary.bitrate_bps as f64 / 1e6,
    );
    format!(
        "{seconds:.1} s over {}: {} pictures shown, longest gap {:.0} ms, delay {} (half), {} (99 %)\n\
         sound: {} packets, {} lost, off the picture by {} (95 %)\n\
         {mbps:.1} Mbit/s, round trip {}",
        summary.transport.as_deref().unwrap_or("nothing"),
        summary.frames_shown,
        summary.video_gap_max_ms,
        ms(latency.p50),
        ms(latency.p99),
        summary.audio_packets,
        summary.audio_lost,
        ms(summary.av_skew_ms.p95),
        ms(summary.rtt_ms),
    )
}
