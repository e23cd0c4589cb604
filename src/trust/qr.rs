//! A link as a picture for a telephone's camera.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// `text` as a QR code for a terminal: half-block characters, two modules a character cell, with its quiet zone, black
/// on white whatever the terminal's own colours are. `None` if the text is too long for a code.
pub fn qr(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = code.render::<Dense1x2>().quiet_zone(true).build();
    let lines = picture
        .lines()
        .map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}\n"));
    Some(lines.collect())
}

/// Of the fixed 256 colours, since a theme may redefine the first sixteen.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const RESET: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_has_a_white_border() {
        let code = qr("https://cam.example/front#k=AAAA").unwrap();
        let rows: Vec<String> = code
            .lines()
            .map(|line| line.replace(BLACK_ON_WHITE, "").replace(RESET, ""))
            .collect();
        let width = rows[0].chars().count();
        assert!(rows.iter().all(|row| row.chars().count() == width));
        assert_eq!(rows.len(), width.div_ceil(2));
        assert!(rows[0].chars().all(|c| c == ' '));
    }

    #[test]
    fn a_text_that_fits_no_code_gives_none() {
        assert_eq!(qr(&"x".repeat(5000)), None);
    }
}
