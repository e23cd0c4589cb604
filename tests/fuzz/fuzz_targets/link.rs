//! Any text is a link or an error, and a link prints as what reads back as itself; its secret never shows in Debug.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tunnelcast::trust::Link;

fuzz_target!(|text: &str| {
    if let Ok(link) = text.parse::<Link>() {
        assert_eq!(link.to_string().parse::<Link>().as_ref(), Ok(&link));
        let mut other = link.clone();
        other.token = link.token.as_ref().map(|_| String::from("other"));
        assert_eq!(format!("{link:?}"), format!("{other:?}"));
    }
});
