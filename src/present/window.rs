//! The window: winit for the window and its keys, softbuffer for its pixels. It sleeps until something happens.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use softbuffer::{Context, SoftBufferError, Surface};
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalSize;
use winit::event::{KeyEvent, StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, OwnedDisplayHandle};
use winit::keyboard::{Key as Logical, ModifiersState, NamedKey};
use winit::window::{Fullscreen, Window, WindowId};

use crate::media::Size;

use super::controls::{self, Action, Command, Key, Press};
use super::error::PresentError;
use super::overlay::Part;
use super::screen::Screen;
use super::shared::{Compose, Glass, now};

/// How the window starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowOptions {
    /// What the title bar says until [`super::ScreenWriter::title`].
    pub title: String,
    /// Which thread paints.
    pub painting: Painting,
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self {
            title: "tunnelcast".to_owned(),
            painting: Painting::Direct,
        }
    }
}

/// Which thread copies a picture into the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Painting {
    /// The one that calls [`super::ScreenWriter::show`], on a local X11 display; elsewhere as with [`Self::Window`].
    Direct,
    /// The window's, which is woken for it; a slow display never holds up playback.
    Window,
}

/// Opens the window and shows `screen` until it is closed from either side. Wants the main thread on some systems.
///
/// Keys that are playback's business go to `commands`; closing the window sends [`Command::Quit`].
pub fn run(
    screen: Screen,
    options: WindowOptions,
    commands: Sender<Command>,
) -> Result<(), PresentError> {
    let event_loop = event_loop()?;
    let proxy = event_loop.create_proxy();
    screen.attach(move || {
        // The loop has ended: there is nobody left to wake.
        let _ = proxy.send_event(());
    });
    event_loop.set_control_flow(ControlFlow::Wait);
    let mut app = App {
        screen,
        options,
        commands,
        window: None,
        easel: None,
        fitted: false,
        modifiers: ModifiersState::empty(),
        failed: None,
    };
    let ended = event_loop.run_app(&mut app);
    // The surface must be gone before the connection to the display.
    app.screen.detach();
    app.easel = None;
    app.window = None;
    match (app.failed.take(), ended) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(PresentError::DisplayLost {
            why: error.to_string(),
        }),
        (None, Ok(())) => Ok(()),
    }
}

fn event_loop() -> Result<EventLoop<()>, PresentError> {
    let mut builder = EventLoop::<()>::with_user_event();
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    {
        // X11 and Wayland do not care which thread it is, and a panic helps nobody.
        winit::platform::x11::EventLoopBuilderExtX11::with_any_thread(&mut builder, true);
        winit::platform::wayland::EventLoopBuilderExtWayland::with_any_thread(&mut builder, true);
    }
    builder.build().map_err(|error| {
        tracing::debug!(%error, "no event loop");
        PresentError::NoDisplay
    })
}

struct App {
    screen: Screen,
    options: WindowOptions,
    commands: Sender<Command>,
    window: Option<Arc<Window>>,
    /// Unless it was lent to the screen.
    easel: Option<Easel>,
    /// The window was given the picture's size; from then on its size is the person's business.
    fitted: bool,
    modifiers: ModifiersState,
    failed: Option<PresentError>,
}

impl ApplicationHandler for App {
    fn new_events(&mut self, event_loop: &ActiveEventLoop, cause: StartCause) {
        if matches!(cause, StartCause::ResumeTimeReached { .. }) {
            self.look(event_loop);
        }
    }

    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.window.is_some() {
            return;
        }
        if let Err(error) = self.open(event_loop) {
            self.fail(event_loop, error);
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, (): ()) {
        self.look(event_loop);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "new window events are none of ours until we say so"
    )]
    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested | WindowEvent::Destroyed => self.quit(event_loop),
            WindowEvent::Resized(size) => {
                self.screen.resized(pixels(size));
                self.redraw();
            }
            WindowEvent::RedrawRequested => {
                self.screen.spoiled();
                self.look(event_loop);
            }
            WindowEvent::Occluded(true) => self.screen.hide(),
            WindowEvent::Occluded(false) => {
                self.screen.reveal();
                self.redraw();
            }
            WindowEvent::ModifiersChanged(modifiers) => self.modifiers = modifiers.state(),
            WindowEvent::KeyboardInput {
                event,
                is_synthetic: false,
                ..
            } => self.key(event_loop, &event),
            _ => {}
        }
    }
}

impl App {
    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<(), PresentError> {
        let attributes = Window::default_attributes()
            .with_title(&self.options.title)
            .with_inner_size(PhysicalSize::new(FIRST_WIDTH, FIRST_HEIGHT));
        #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
        let attributes = winit::platform::wayland::WindowAttributesExtWayland::with_name(
            attributes,
            "tunnelcast",
            "tunnelcast",
        );
        let window =
            event_loop
                .create_window(attributes)
                .map_err(|error| PresentError::NoWindow {
                    why: error.to_string(),
                })?;
        let window = Arc::new(window);
        let unpaintable = |error: SoftBufferError| PresentError::NoWindow {
            why: error.to_string(),
        };
        let context = Context::new(event_loop.owned_display_handle()).map_err(unpaintable)?;
        let surface = Surface::new(&context, Arc::clone(&window)).map_err(unpaintable)?;
        self.screen.resized(pixels(window.inner_size()));
        self.window = Some(window);
        self.place(Easel {
            surface,
            size: (0, 0),
        });
        self.look(event_loop);
        Ok(())
    }

    /// Lends the easel to the screen where another thread may paint and will not have to wait long.
    ///
    /// What it paints stays in a buffer of libxcb until this loop, which it wakes, comes round and sends it: waiting
    /// there for the server instead was measured to starve that thread on a busy machine, since this loop then spins
    /// on a socket with an answer that it may not read.
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    fn place(&mut self, easel: Easel) {
        use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};

        let handle = easel
            .surface
            .window()
            .window_handle()
            .map(|handle| handle.as_raw());
        let x11 = matches!(
            handle,
            Ok(RawWindowHandle::Xlib(_) | RawWindowHandle::Xcb(_))
        );
        let local = std::env::var_os("DISPLAY")
            .is_some_and(|display| display.as_encoded_bytes().starts_with(b":"));
        if self.options.painting == Painting::Direct && x11 && local {
            self.screen.lend(Box::new(easel));
        } else {
            self.easel = Some(easel);
        }
    }

    #[cfg(not(all(unix, not(target_vendor = "apple"), not(target_os = "android"))))]
    fn place(&mut self, easel: Easel) {
        self.easel = Some(easel);
    }

    /// Does what came up since the last time.
    fn look(&mut self, event_loop: &ActiveEventLoop) {
        let Some(window) = self.window.clone() else {
            return;
        };
        let mut update = self.screen.update(now());
        if let Some(error) = update.failed.take() {
            return self.fail(event_loop, error);
        }
        if update.close {
            return event_loop.exit();
        }
        if let Some(title) = update.title.take() {
            window.set_title(&title);
        }
        if let Some(size) = update.picture.filter(|_| !self.fitted) {
            self.fitted = true;
            self.fit(&window, size);
        }
        event_loop.set_control_flow(
            update
                .again
                .map_or(ControlFlow::Wait, ControlFlow::WaitUntil),
        );
        if update.due {
            let own = self.easel.as_mut().map(|easel| easel as &mut dyn Glass);
            if let Err(error) = self.screen.paint(own) {
                self.fail(event_loop, error);
            }
        }
    }

    /// Makes the window as large as the picture, pixel for pixel where the monitor is large enough.
    fn fit(&self, window: &Window, size: Size) {
        if window.fullscreen().is_some() {
            return;
        }
        let monitor = window
            .current_monitor()
            .or_else(|| window.primary_monitor())
            .or_else(|| window.available_monitors().next())
            .map(|monitor| monitor.size());
        let wanted = within(size, monitor);
        if let Some(now) = window.request_inner_size(wanted) {
            self.screen.resized(pixels(now));
            window.request_redraw();
        }
    }

    fn key(&self, event_loop: &ActiveEventLoop, event: &KeyEvent) {
        let with_others = ModifiersState::CONTROL | ModifiersState::ALT | ModifiersState::SUPER;
        if !event.state.is_pressed() || self.modifiers.intersects(with_others) {
            return;
        }
        let key = match &event.logical_key {
            Logical::Character(typed) => Key::Typed(typed),
            Logical::Named(NamedKey::Escape) => Key::Escape,
            Logical::Named(_) | Logical::Unidentified(_) | Logical::Dead(_) => return,
        };
        let press = if event.repeat {
            Press::Repeated
        } else {
            Press::First
        };
        match controls::action(key, press) {
            Some(Action::Send(Command::Quit)) => self.quit(event_loop),
            Some(Action::Send(command)) => self.send(command),
            Some(Action::FullScreen) => self.toggle_full_screen(),
            Some(Action::Statistics) => self.toggle(event_loop, Part::Statistics),
            Some(Action::Help) => self.toggle(event_loop, Part::Help),
            None => {}
        }
    }

    fn toggle(&self, _: &ActiveEventLoop, part: Part) {
        self.screen.toggle(part);
        self.redraw();
    }

    fn toggle_full_screen(&self) {
        if let Some(window) = &self.window {
            let full = window.fullscreen().is_none();
            window.set_fullscreen(full.then_some(Fullscreen::Borderless(None)));
            window.set_cursor_visible(!full);
        }
    }

    fn redraw(&self) {
        if let Some(window) = &self.window {
            window.request_redraw();
        }
    }

    fn quit(&self, event_loop: &ActiveEventLoop) {
        self.send(Command::Quit);
        event_loop.exit();
    }

    fn send(&self, command: Command) {
        // Playback has ended before the window: nobody is left to be told.
        let _ = self.commands.send(command);
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, error: PresentError) {
        self.failed = Some(error);
        event_loop.exit();
    }
}

/// The window's pixels.
struct Easel {
    surface: Surface<OwnedDisplayHandle, Arc<Window>>,
    size: (usize, usize),
}

impl Glass for Easel {
    fn paint(
        &mut self,
        window: (usize, usize),
        compose: &mut Compose<'_>,
    ) -> Result<(), PresentError> {
        let side = |length| u32::try_from(length).ok().and_then(NonZeroU32::new);
        let (Some(width), Some(height)) = (side(window.0), side(window.1)) else {
            return Ok(()); // minimised
        };
        let lost = |error: SoftBufferError| PresentError::DisplayLost {
            why: error.to_string(),
        };
        if self.size != window {
            self.surface.resize(width, height).map_err(lost)?;
            self.size = window;
        }
        let mut buffer = self.surface.buffer_mut().map_err(lost)?;
        let age = buffer.age();
        let damage: Vec<_> = compose(&mut buffer, age)
            .into_iter()
            .filter_map(|rect| {
                Some(softbuffer::Rect {
                    x: u32::try_from(rect.x).ok()?,
                    y: u32::try_from(rect.y).ok()?,
                    width: side(rect.width)?,
                    height: side(rect.height)?,
                })
            })
            .collect();
        if damage.is_empty() {
            return Ok(());
        }
        buffer.present_with_damage(&damage).map_err(lost)?;
        Ok(())
    }
}

fn pixels(size: PhysicalSize<u32>) -> (usize, usize) {
    let length = |v| usize::try_from(v).unwrap_or(0);
    (length(size.width), length(size.height))
}

/// `size`, or what keeps its shape within the monitor.
fn within(size: Size, monitor: Option<PhysicalSize<u32>>) -> PhysicalSize<u32> {
    let length = |v| u32::try_from(v).unwrap_or(Size::MAX_SIDE);
    let (width, height) = (length(size.width()), length(size.height()));
    match monitor {
        Some(monitor)
            if monitor.width > 0
                && monitor.height > 0
                && (width > monitor.width || height > monitor.height) =>
        {
            if monitor.width * height <= monitor.height * width {
                PhysicalSize::new(monitor.width, (monitor.width * height / width).max(1))
            } else {
                PhysicalSize::new((monitor.height * width / height).max(1), monitor.height)
            }
        }
        Some(_) | None => PhysicalSize::new(width, height),
    }
}

/// Before the first picture says how large it is.
const FIRST_WIDTH: u32 = 640;
const FIRST_HEIGHT: u32 = 360;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_the_pictures_size_where_the_monitor_has_room() {
        let size = Size::new(1280, 720).unwrap();
        let fits = |width, height| within(size, Some(PhysicalSize::new(width, height)));
        assert_eq!(fits(1280, 720), PhysicalSize::new(1280, 720));
        assert_eq!(fits(1600, 1000), PhysicalSize::new(1280, 720));
        assert_eq!(fits(640, 1000), PhysicalSize::new(640, 360));
        assert_eq!(fits(1280, 360), PhysicalSize::new(640, 360));
        assert_eq!(fits(0, 0), PhysicalSize::new(1280, 720));
        assert_eq!(within(size, None), PhysicalSize::new(1280, 720));
    }
}
