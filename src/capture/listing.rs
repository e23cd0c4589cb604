//! What there is to capture from and to play on, as data.

use serde::Serialize;

/// Everything found on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Devices {
    /// In the order of `camera:N`.
    pub cameras: Vec<CameraInfo>,
    /// For `mic:NAME`; the system's default first.
    pub microphones: Vec<SoundInfo>,
    /// The system's default first.
    pub speakers: Vec<SoundInfo>,
    /// What could not be looked for and why, for a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CameraInfo {
    /// N of `camera:N`.
    pub number: u32,
    /// What it calls itself.
    pub name: String,
    /// How the system finds it.
    pub path: String,
    /// What it offers, as `1280x720 at 30 fps as JPEG`; the one that would be taken first.
    pub formats: Vec<String>,
    /// Why it cannot be used now, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A microphone or a speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SoundInfo {
    /// What it calls itself.
    pub name: String,
    /// How the system calls it; `mic:` takes any part of either.
    pub id: String,
}

/// Looks for cameras, microphones and speakers. Opens each camera for a moment; may take seconds.
pub fn devices() -> Devices {
    let mut devices = Devices::default();
    cameras(&mut devices);
    sound(&mut devices);
    devices
}

#[cfg(feature = "camera")]
fn cameras(devices: &mut Devices) {
    use super::camera::{Offer, list, ranked};

    for (number, found) in (0..).zip(list()) {
        let (formats, trouble) = match &found.offer {
            Offer::Formats(formats) => (ranked(formats), None),
            Offer::Busy => (Vec::new(), Some("in use by another program".to_owned())),
            Offer::Forbidden => (Vec::new(), Some("no permission to open it".to_owned())),
            Offer::Failed(why) => (Vec::new(), Some(why.clone())),
        };
        devices.cameras.push(CameraInfo {
            number,
            path: found.path(),
            name: found.name,
            formats: formats.iter().map(ToString::to_string).collect(),
            trouble,
        });
    }
}

#[cfg(not(feature = "camera"))]
fn cameras(devices: &mut Devices) {
    use super::{CaptureError, Hardware};

    let note = CaptureError::Unbuilt(Hardware::Camera).to_string();
    devices.notes.push(note);
}

#[cfg(feature = "audio")]
fn sound(devices: &mut Devices) {
    use super::microphone::{list_microphones, list_speakers};

    let infos = |list: Vec<(String, String)>| {
        list.into_iter()
            .map(|(name, id)| SoundInfo { name, id })
            .collect()
    };
    devices.microphones = infos(list_microphones());
    devices.speakers = infos(list_speakers());
}

#[cfg(not(feature = "audio"))]
fn sound(devices: &mut Devices) {
    use super::{CaptureError, Hardware};

    let note = CaptureError::Unbuilt(Hardware::Microphone).to_string();
    devices.notes.push(note);
}
