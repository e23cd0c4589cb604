//! How media get across.

use super::*;

#[test]
fn cells_of_a_frame_share_messages_and_come_out_as_they_went_in() {
    let mut pair = Pair::streaming();
    pair.feed.video.push_back(VideoStep::Rung(cells_rung()));
    let sent: Vec<_> = (0..100_u32)
        .map(|index| (1, index, Bytes::from(pattern(200 + index as usize * 7))))
        .collect();
    for (frame, index, bytes) in &sent {
        pair.feed
            .video
            .push_back(cell(*frame, *index, bytes.clone()));
    }
    pair.feed.video.push_back(end(1));
    pair.advance(ms(50));
    let told = pair
        .client_events
        .iter()
        .filter(|event| matches!(event, client::Event::Cells { .. }))
        .count();
    assert!(told <= 5, "{told} messages for 54 KB");
    assert_eq!(pair.take_cells(), sent);
    assert!(pair.longest <= MAX_MESSAGE);
}

#[test]
fn a_large_cell_goes_in_parts_with_sound_between() {
    let mut pair = Pair::streaming();
    let jpeg = Bytes::from(pattern(300_000));
    pair.feed.video = [
        VideoStep::Rung(whole_rung()),
        cell(5, 0, jpeg.clone()),
        end(5),
    ]
    .into();
    pair.feed.audio = [sound(0)].into();
    // A packet of sound comes up while the first chunk is being written.
    pair.down.stalled = true;
    pair.settle();
    pair.feed.audio.push_back(sound(1));
    pair.down.stalled = false;
    // Some round trips, since little may be under way at first.
    pair.advance(ms(200));
    let events = pair.take_client_events();
    let order: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            client::Event::Audio(packet) => Some(packet.seq),
            client::Event::Cells { cells, .. } => {
                assert_eq!(cells[0].1, jpeg);
                Some(99)
            }
            _ => None,
        })
        .collect();
    assert_eq!(order, [0, 1, 99], "sound does not wait for the picture");
    assert!(pair.longest <= MAX_MESSAGE);
}

#[test]
fn nothing_is_asked_of_the_feed_while_the_link_cannot_take_it() {
    let mut pair = Pair::streaming();
    pair.down.stalled = true;
    pair.feed.video.push_back(VideoStep::Rung(cells_rung()));
    for frame in 0..100 {
        pair.feed.video.push_back(cell(frame, 0, pattern(8_000)));
    }
    pair.advance(ms(500));
    // The rung, two cells that fit a chunk or one, one held over.
    assert!(pair.feed.taken <= 4, "{} steps taken", pair.feed.taken);
    let taken = pair.feed.taken;
    pair.advance(ms(500));
    assert_eq!(pair.feed.taken, taken);
    pair.down.stalled = false;
    pair.advance(ms(100));
    assert_eq!(pair.take_cells().len(), 100);
}

#[test]
fn a_new_subscription_starts_from_nothing() {
    let mut pair = Pair::streaming();
    pair.down.stalled = true;
    let large = pattern(100_000);
    pair.feed.video = [VideoStep::Rung(whole_rung()), cell(1, 0, large)].into();
    pair.settle();
    pair.client.subscribe(name("radio"), true, true);
    pair.advance(ms(50));
    pair.feed.audio.push_back(sound(3));
    pair.down.stalled = false;
    pair.advance(ms(50));
    let events = pair.take_client_events();
    assert!(matches!(events[0], client::Event::Rung(_)));
    assert!(matches!(events[1], client::Event::Subscribed { .. }));
    assert!(matches!(events[2], client::Event::Audio(_)));
    assert_eq!(events.len(), 3, "the unfinished cell was given up");
}

#[test]
fn nothing_comes_behind_unsubscribed() {
    let mut pair = Pair::streaming();
    pair.client.unsubscribe();
    pair.advance(ms(50));
    assert_eq!(pair.take_client_events(), [client::Event::Unsubscribed]);
    assert_eq!(pair.take_server_events(), [server::Event::Unsubscribed]);
    pair.feed.audio.push_back(sound(0));
    pair.advance(ms(50));
    assert_eq!(pair.take_client_events(), []);
}

#[test]
fn faults_of_our_own_feed_are_left_out() {
    let mut pair = Pair::streaming();
    let mut long = (*sound(0)).clone();
    long.bytes = Bytes::from(vec![0; 5000]);
    pair.feed.audio = [Arc::new(long), sound(1)].into();
    pair.feed.video = [
        VideoStep::Rung(cells_rung()),
        cell(1, 0, Bytes::new()),
        cell(1, 1 << 20, &b"far"[..]),
        cell(1, 2, vec![0; (16 << 20) + 1]),
        cell(1, 3, &b"good"[..]),
    ]
    .into();
    pair.advance(ms(50));
    assert_eq!(pair.client_events.len(), 3);
    assert_eq!(pair.take_cells(), [(1, 3, Bytes::from_static(b"good"))]);
}

#[test]
fn the_source_is_told_and_of_several_states_the_last() {
    let mut pair = Pair::streaming();
    pair.server.source(SourceState::Opening, None);
    pair.server
        .source(SourceState::Lost, Some(Text::new("camera unplugged")));
    pair.advance(ms(50));
    let lost = client::Event::Source {
        state: SourceState::Lost,
        notice: Some(Text::new("camera unplugged")),
    };
    assert_eq!(pair.take_client_events(), [lost]);
}

#[test]
fn reports_arrive_and_of_several_that_wait_the_last() {
    let mut pair = Pair::streaming();
    let report = |frames_shown| Report {
        frames_shown: Some(frames_shown),
        ..Report::default()
    };
    pair.client.report(report(29));
    pair.client.report(report(30));
    pair.advance(ms(50));
    let told = server::Event::Report(report(30));
    assert_eq!(pair.take_server_events(), [told]);
}
