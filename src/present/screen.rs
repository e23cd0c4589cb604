//! The picture that playback and window share: one paints, the other shows, and neither waits for a timer.
//!
//! Where the window allows it (see [`Glass`]), `show` paints into the window's own buffer, and the window's thread only
//! sends it to the display: one copy. Elsewhere `show` copies what changed, and the window's thread copies it again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::media::Size;

use super::error::PresentError;
use super::overlay::Part;
use super::shared::{Glass, Shared, lock};
use super::writer::ScreenWriter;

/// A picture to write on, and the same picture to be shown; the second goes to the window, or is dropped.
pub fn screen() -> (ScreenWriter, Screen) {
    let shared = Arc::new(Shared::default());
    (
        ScreenWriter {
            shared: Arc::clone(&shared),
        },
        Screen { shared },
    )
}

/// The window's end.
#[derive(Debug)]
pub struct Screen {
    shared: Arc<Shared>,
}

/// What the window has to do now.
#[derive(Debug, Default)]
pub(super) struct Update {
    /// End.
    pub(super) close: bool,
    /// A new title.
    pub(super) title: Option<String>,
    /// The picture's own size, of which what is shown may be a smaller copy.
    pub(super) picture: Option<Size>,
    /// When to ask again although nothing woke the window.
    pub(super) again: Option<Instant>,
    /// [`Screen::paint`] has something to do.
    pub(super) due: bool,
    /// Painting failed on another thread.
    pub(super) failed: Option<PresentError>,
}

impl Screen {
    /// `wake` is called from any thread whenever [`Self::update`] should be.
    pub(super) fn attach(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.shared.wake) = Some(Box::new(wake));
    }

    /// From now on `show` paints by itself.
    pub(super) fn lend(&self, glass: Box<dyn Glass + Send>) {
        self.shared.state().glass = Some(glass);
    }

    /// The window goes: nothing is woken or painted any more.
    pub(super) fn detach(&self) {
        *lock(&self.shared.wake) = None;
        self.shared.state().glass = None;
    }

    /// The window has another size in pixels.
    pub(super) fn resized(&self, window: (usize, usize)) {
        let mut state = self.shared.state();
        if state.composer.window() != window {
            state.composer.resize(window);
            state.relaid = true;
        }
    }

    /// What the window showed was lost.
    pub(super) fn spoiled(&self) {
        self.shared.state().composer.spoil();
    }

    /// Nobody can see the window, so nothing need be painted.
    pub(super) fn hide(&self) {
        self.shared.state().visible = false;
    }

    /// The window can be seen again.
    pub(super) fn reveal(&self) {
        let mut state = self.shared.state();
        state.visible = true;
        state.composer.spoil();
    }

    /// Switches a part of the overlay on or off.
    pub(super) fn toggle(&self, part: Part) {
        let mut said = self.shared.said();
        said.overlay.toggle(part);
        said.news = true;
    }

    /// Takes what happened since the last call.
    pub(super) fn update(&self, now: Instant) -> Update {
        // Before the state is read, so that what comes later wakes again.
        self.shared.awake.store(false, Ordering::Release);
        self.shared.sent();
        let mut state = self.shared.state();
        // Behind the state, so that nobody who speaks waits for a painting.
        let mut said = self.shared.said();
        let over = said.overlay.expire(now);
        if std::mem::take(&mut said.news) | std::mem::take(&mut state.relaid) | over {
            let panels = said
                .overlay
                .panels(state.composer.window(), state.size.is_some());
            state.composer.cover(panels);
        }
        Update {
            close: said.closed,
            title: said.title.take(),
            picture: state.size.map(|size| said.own_size.unwrap_or(size)),
            again: said.overlay.expires(),
            due: state.is_due(),
            failed: state.failed.take(),
        }
    }

    /// Paints what is due, on the lent glass or on `own`.
    pub(super) fn paint(&self, own: Option<&mut dyn Glass>) -> Result<(), PresentError> {
        let frame = match own {
            Some(glass) => {
                // The buffer may take its time to come, so the picture is not held meanwhile.
                let window = self.shared.state().composer.window();
                let mut frame = None;
                glass.paint(window, &mut |buffer, age| {
                    let mut state = self.shared.state();
                    frame = state.take_frame();
                    state.compose(buffer, age)
                })?;
                frame
            }
            None => {
                let mut state = self.shared.state();
                // It may have been painted since.
                let due = state.is_due();
                let Some(mut glass) = state.glass.take_if(|_| due) else {
                    return Ok(());
                };
                let frame = state.take_frame();
                let window = state.composer.window();
                let painted = glass.paint(window, &mut |buffer, age| state.compose(buffer, age));
                state.glass = Some(glass);
                painted?;
                frame
            }
        };
        if let Some(frame) = frame {
            self.shared.stamp(frame, 1);
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.detach();
        self.shared.state().unseen = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::media::{Pixels, Rect};
    use crate::present::shared::{Compose, now};

    const WIDTH: usize = 64;
    const HEIGHT: usize = 48;

    /// A window in memory that counts what it is handed.
    #[derive(Clone, Default)]
    struct Fake {
        pixels: Arc<Mutex<Vec<u32>>>,
        handed: Arc<Mutex<Vec<Rect>>>,
        painted: u8,
        broken: bool,
    }

    impl Glass for Fake {
        fn paint(
            &mut self,
            window: (usize, usize),
            compose: &mut Compose<'_>,
        ) -> Result<(), PresentError> {
            if self.broken {
                return Err(PresentError::DisplayLost { why: "gone".into() });
            }
            let mut pixels = lock(&self.pixels);
            pixels.resize(window.0 * window.1, 0);
            *lock(&self.handed) = compose(&mut pixels, self.painted);
            self.painted = 1;
            Ok(())
        }
    }

    fn size() -> Size {
        Size::new(64, 48).unwrap()
    }

    fn of(pixels: &[u32]) -> Pixels<'_> {
        Pixels::new(pixels, size()).unwrap()
    }

    fn open() -> (ScreenWriter, Screen, Arc<AtomicUsize>) {
        let (writer, screen) = screen();
        screen.resized((WIDTH, HEIGHT));
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        screen.attach(move || _ = count.fetch_add(1, Ordering::Relaxed));
        (writer, screen, wakes)
    }

    #[test]
    fn lent_glass_is_painted_before_show_returns() {
        let (writer, screen, _) = open();
        let glass = Fake::default();
        screen.lend(Box::new(glass.clone()));
        let mut pixels = vec![0x11_1111; WIDTH * HEIGHT];
        // The first picture lays the window out, which is the window's business.
        writer.show(1, &mut of(&pixels), &[]);
        assert_eq!(writer.presented(), None);
        assert!(screen.update(now()).due);
        screen.paint(None).unwrap();
        assert_eq!(
            writer.presented().map(|shown| (shown.frame, shown.count)),
            Some((1, 1))
        );

        let changed = Rect::new(16, 16, 8, 4);
        for y in changed.y..changed.bottom() {
            pixels[y * WIDTH..][changed.x..changed.right()].fill(0x22_2222);
        }
        writer.show(2, &mut of(&pixels), &[changed]);
        assert_eq!(*lock(&glass.handed), [changed]);
        assert_eq!(*lock(&glass.pixels), pixels);
        assert!(!screen.update(now()).due);
        assert_eq!(
            writer.presented().map(|shown| (shown.frame, shown.count)),
            Some((2, 2))
        );
        writer.keep(&mut of(&pixels));
        assert!(!screen.update(now()).due);
        // Painting anew has the newest picture.
        screen.spoiled();
        lock(&glass.pixels).fill(0);
        screen.paint(None).unwrap();
        assert_eq!(*lock(&glass.pixels), pixels);
        assert_eq!(writer.presented().map(|shown| shown.count), Some(2));
    }

    #[test]
    fn what_is_prepared_is_handed_over_with_the_rest_and_not_before() {
        let (writer, screen, wakes) = open();
        let glass = Fake::default();
        screen.lend(Box::new(glass.clone()));
        let before = vec![0x11_1111; WIDTH * HEIGHT];
        writer.show(1, &mut of(&before), &[]);
        // Nobody has laid the window out yet.
        assert!(!writer.prepare(&mut of(&before), &[Rect::new(0, 0, 8, 8)]));
        screen.update(now());
        screen.paint(None).unwrap();

        let mut pixels = before.clone();
        let parts = [Rect::new(0, 0, 8, 8), Rect::new(40, 32, 8, 4)];
        for part in parts {
            for y in part.y..part.bottom() {
                pixels[y * WIDTH..][part.x..part.right()].fill(0x22_2222);
            }
        }
        let prepare = || {
            assert!(writer.prepare(&mut of(&pixels), &parts[..1]));
            assert!(lock(&glass.handed).is_empty());
            assert_eq!(writer.presented().map(|shown| shown.count), Some(1));
        };
        prepare();
        assert_eq!(lock(&glass.pixels)[0], 0x22_2222);
        // Whatever is painted meanwhile has the picture before.
        screen.spoiled();
        screen.paint(None).unwrap();
        assert_eq!(*lock(&glass.pixels), before);
        prepare();
        writer.show(2, &mut of(&pixels), &parts[1..]);
        let mut handed = lock(&glass.handed).clone();
        handed.sort_by_key(|part| part.y);
        assert_eq!(handed, parts);
        assert_eq!(*lock(&glass.pixels), pixels);
        assert_eq!(writer.presented().map(|shown| shown.frame), Some(1));
        screen.update(now());
        assert_eq!(writer.presented().map(|shown| shown.frame), Some(2));
        // Until the picture was kept the window has nothing to paint again.
        screen.spoiled();
        assert!(!screen.update(now()).due);
        let woken = wakes.load(Ordering::Relaxed);
        writer.keep(&mut of(&pixels));
        assert_eq!(wakes.load(Ordering::Relaxed), woken + 1);
        assert!(screen.update(now()).due);
        screen.paint(None).unwrap();
        assert_eq!(*lock(&glass.pixels), pixels);
        assert!(!screen.update(now()).due);

        // In a window that is gone from sight in between, all of it is painted when it is seen again.
        assert!(writer.prepare(&mut of(&before), &parts[..1]));
        screen.hide();
        writer.show(3, &mut of(&before), &parts[1..]);
        screen.reveal();
        screen.paint(None).unwrap();
        assert_eq!(*lock(&glass.pixels), before);
    }

    #[test]
    fn without_lent_glass_the_window_is_woken_once_and_paints_the_newest() {
        let (writer, screen, wakes) = open();
        let mut own = Fake::default();
        screen.update(now());
        for frame in 1..=5 {
            let pixels = vec![u32::try_from(frame).unwrap(); WIDTH * HEIGHT];
            writer.show(frame, &mut of(&pixels), &[Rect::whole(WIDTH, HEIGHT)]);
        }
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert!(screen.update(now()).due);
        screen.paint(Some(&mut own)).unwrap();
        assert_eq!(
            writer.presented().map(|shown| (shown.frame, shown.count)),
            Some((5, 1))
        );
        assert_eq!(*lock(&own.pixels), [5; WIDTH * HEIGHT]);
        writer.close();
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
        assert!(screen.update(now()).close);
    }

    #[test]
    fn what_is_said_waits_for_no_painting() {
        /// A display that takes its time: paints only when told to.
        struct Slow {
            begun: std::sync::mpsc::Sender<()>,
            go: std::sync::mpsc::Receiver<()>,
        }

        impl Glass for Slow {
            fn paint(
                &mut self,
                window: (usize, usize),
                compose: &mut Compose<'_>,
            ) -> Result<(), PresentError> {
                compose(&mut vec![0; window.0 * window.1], 0);
                self.begun.send(()).unwrap();
                // Ends when the test drops its end, too.
                let _ = self.go.recv();
                Ok(())
            }
        }

        let (writer, screen, _) = open();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (finish, go) = std::sync::mpsc::channel();
        let pixels = vec![1; WIDTH * HEIGHT];
        // The first picture lays the window out, and is painted by nobody yet.
        writer.show(1, &mut of(&pixels), &[]);
        screen.lend(Box::new(Slow { begun, go }));
        std::thread::scope(|scope| {
            scope.spawn(|| writer.show(2, &mut of(&pixels), &[Rect::whole(8, 8)]));
            has_begun.recv().unwrap();
            writer.words(Some("retrying".into()));
            writer.message("volume 80 %".into());
            writer.statistics(vec!["30 fps".into()]);
            writer.title("cam".into());
            screen.toggle(Part::Statistics);
            assert!(writer.wants_statistics());
            finish.send(()).unwrap();
        });
        writer.keep(&mut of(&pixels));
        let update = screen.update(now());
        assert!(update.due);
        assert_eq!(update.title.as_deref(), Some("cam"));
    }

    #[test]
    fn a_hidden_window_is_not_painted_until_it_is_seen_again() {
        let (writer, screen, _) = open();
        let glass = Fake::default();
        screen.lend(Box::new(glass.clone()));
        screen.hide();
        for frame in 1..=3 {
            writer.show(frame, &mut of(&[7; WIDTH * HEIGHT]), &[]);
            assert!(!screen.update(now()).due);
        }
        assert!(lock(&glass.pixels).is_empty());
        screen.reveal();
        assert!(screen.update(now()).due);
        screen.paint(None).unwrap();
        assert_eq!(*lock(&glass.pixels), [7; WIDTH * HEIGHT]);
    }

    #[test]
    fn a_display_that_fails_is_told_to_the_window() {
        let (writer, screen, _) = open();
        screen.lend(Box::new(Fake {
            broken: true,
            ..Fake::default()
        }));
        let pixels = vec![1; WIDTH * HEIGHT];
        writer.show(1, &mut of(&pixels), &[]);
        assert!(screen.update(now()).failed.is_none());
        writer.show(2, &mut of(&pixels), &[]);
        assert!(matches!(
            screen.update(now()).failed,
            Some(PresentError::DisplayLost { .. })
        ));
        assert_eq!(writer.presented(), None);
    }

    #[test]
    fn without_a_window_every_picture_counts() {
        let (writer, screen) = screen();
        drop(screen);
        writer.show(8, &mut of(&[0; WIDTH * HEIGHT]), &[]);
        writer.show(9, &mut of(&[0; WIDTH * HEIGHT]), &[]);
        writer.words(Some("nobody reads this".into()));
        assert_eq!(
            writer.presented().map(|shown| (shown.frame, shown.count)),
            Some((9, 2))
        );
    }

    #[test]
    fn dirty_parts_outside_the_picture_do_no_harm() {
        let (writer, screen, _) = open();
        screen.lend(Box::new(Fake::default()));
        let pixels = vec![1; WIDTH * HEIGHT];
        writer.show(1, &mut of(&pixels), &[]);
        let far = [
            Rect::new(60, 40, usize::MAX, usize::MAX),
            Rect::new(900, 900, 5, 5),
            Rect::new(0, 900, 5, 5),
        ];
        writer.show(2, &mut of(&pixels), &far);
        screen.update(now());
        assert_eq!(writer.presented().map(|shown| shown.frame), Some(2));
    }
}
