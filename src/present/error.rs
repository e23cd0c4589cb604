//! What can go wrong with showing a picture.

/// Why there is no window, or no longer one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresentError {
    /// There is nowhere to open a window.
    #[error("no display can be opened: set DISPLAY or WAYLAND_DISPLAY, or use --headless")]
    NoDisplay,
    /// There is a display, but it gave no window.
    #[error("the window cannot be opened: {why}; --headless works without one")]
    NoWindow {
        /// In the words of the window system.
        why: String,
    },
    /// The display went away, or refuses to be painted on.
    #[error("the display was lost: {why}; start again once it is back, or use --headless")]
    DisplayLost {
        /// In the words of the window system.
        why: String,
    },
}
