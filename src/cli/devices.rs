//! `tunnelcast devices`

use super::Output;
use crate::{
    capture::{self, Devices, SoundInfo},
    error::Error,
};

pub(super) fn run(output: &Output) -> Result<(), Error> {
    let devices = capture::devices();
    output.event("devices", &devices, words(&devices).trim_end())
}

fn words(devices: &Devices) -> String {
    let mut lines = vec!["cameras".to_owned()];
    for camera in &devices.cameras {
        let trouble = camera
            .trouble
            .as_deref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        lines.push(format!(
            "  camera:{}  {} ({}){trouble}",
            camera.number, camera.name, camera.path
        ));
        lines.extend(
            camera
                .formats
                .iter()
                .map(|format| format!("      {format}")),
        );
    }
    none(&mut lines, devices.cameras.is_empty());
    sounds(&mut lines, "microphones", "mic:", &devices.microphones);
    sounds(&mut lines, "speakers", "", &devices.speakers);
    lines.extend(devices.notes.iter().cloned());
    lines.join("\n")
}

fn sounds(lines: &mut Vec<String>, title: &str, prefix: &str, found: &[SoundInfo]) {
    lines.push(title.to_owned());
    lines.extend(
        found
            .iter()
            .map(|sound| format!("  {prefix}{}  ({})", sound.name, sound.id)),
    );
    none(lines, found.is_empty());
}

fn none(lines: &mut Vec<String>, empty: bool) {
    if empty {
        lines.push("  none found".to_owned());
    }
}
