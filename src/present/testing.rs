//! A window in memory, for the tests of those who write on the screen.

use std::sync::{Arc, Mutex};

use super::error::PresentError;
use super::screen::{Screen, screen};
use super::shared::{Compose, Glass, lock, now};
use super::writer::ScreenWriter;
use crate::media::Size;

/// As large as the picture, and lent to whoever paints.
pub(crate) struct Window {
    screen: Screen,
    buffer: Arc<Mutex<Buffer>>,
}

#[derive(Default)]
struct Buffer {
    pixels: Vec<u32>,
    /// What was handed to the display.
    shown: Vec<u32>,
    age: u8,
}

struct Lent(Arc<Mutex<Buffer>>);

impl Glass for Lent {
    fn paint(
        &mut self,
        (width, height): (usize, usize),
        compose: &mut Compose<'_>,
    ) -> Result<(), PresentError> {
        let mut buffer = lock(&self.0);
        let age = buffer.age;
        buffer.pixels.resize(width * height, 0);
        buffer.shown.resize(width * height, 0);
        let Buffer { pixels, shown, .. } = &mut *buffer;
        for rect in compose(pixels, age) {
            for y in rect.y..rect.bottom() {
                let part = y * width + rect.x..y * width + rect.right();
                shown[part.clone()].copy_from_slice(&pixels[part]);
            }
        }
        buffer.age = 1;
        Ok(())
    }
}

impl Window {
    pub(crate) fn open(size: Size) -> (ScreenWriter, Self) {
        let (writer, screen) = screen();
        screen.resized((size.width(), size.height()));
        let buffer = Arc::<Mutex<Buffer>>::default();
        screen.lend(Box::new(Lent(Arc::clone(&buffer))));
        (writer, Self { screen, buffer })
    }

    /// Does what the first picture asks for.
    pub(crate) fn lay_out(&self) {
        self.screen.update(now());
        self.screen.paint(None).expect("it is in memory");
    }

    /// What can be seen.
    pub(crate) fn shown(&self) -> Vec<u32> {
        lock(&self.buffer).shown.clone()
    }

    /// The same when the display has lost it and it was painted again.
    pub(crate) fn painted_again(&self) -> Vec<u32> {
        lock(&self.buffer).shown.fill(0);
        self.screen.spoiled();
        self.lay_out();
        self.shown()
    }
}
