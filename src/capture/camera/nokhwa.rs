//! Cameras through the library nokhwa, with armour: see the comments for what it does on its own.

use nokhwa::utils::{
    ApiBackend, CameraFormat as TheirFormat, CameraIndex, FrameFormat, RequestedFormat,
    RequestedFormatType,
};
use nokhwa::{Camera as Device, NokhwaError};

use super::{Camera, CameraError, CameraFormat, PixelFormat, RawFrame, choose};
use crate::capture::watch::now;
use crate::media::Size;

/// A camera as found, without opening it for good.
#[derive(Clone, Debug)]
pub(in crate::capture) struct Found {
    /// What it calls itself.
    pub(in crate::capture) name: String,
    /// How the system finds it (on Linux, N of /dev/videoN).
    pub(in crate::capture) index: CameraIndex,
    /// What it offers.
    pub(in crate::capture) offer: Offer,
}

impl Found {
    /// How a person would name the system's handle.
    pub(in crate::capture) fn path(&self) -> String {
        match &self.index {
            CameraIndex::Index(n) if cfg!(target_os = "linux") => format!("/dev/video{n}"),
            CameraIndex::Index(n) => n.to_string(),
            CameraIndex::String(text) => text.clone(),
        }
    }
}

/// What a camera offers.
#[derive(Clone, Debug)]
pub(in crate::capture) enum Offer {
    /// These formats.
    Formats(Vec<CameraFormat>),
    /// It is in use.
    Busy,
    /// We may not open it.
    Forbidden,
    /// It cannot be opened.
    Failed(String),
}

/// A node of the system's that may be a camera; it was not opened yet.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    index: CameraIndex,
}

impl Node {
    /// Opens it for a moment; `None` if it is no camera (metadata, outputs).
    fn probe(self) -> Option<Found> {
        let offer = probe(&self.index)?;
        Some(Found {
            name: self.name,
            index: self.index,
            offer,
        })
    }
}

/// The nodes in the system's order.
fn nodes() -> Vec<Node> {
    let Ok(mut infos) = nokhwa::query(ApiBackend::Auto) else {
        return Vec::new();
    };
    // on Linux they come in the order of the directory
    infos.sort_by_key(|info| {
        (
            info.index().as_index().unwrap_or(u32::MAX),
            info.human_name(),
        )
    });
    infos.dedup_by_key(|info| info.index().clone());
    infos
        .into_iter()
        .map(|info| Node {
            name: info.human_name(),
            index: info.index().clone(),
        })
        .collect()
}

/// The cameras in the system's order; each is opened for a moment.
pub(in crate::capture) fn list() -> Vec<Found> {
    nodes().into_iter().filter_map(Node::probe).collect()
}

/// The camera of that number, if it looks usable. Nodes behind it are left alone.
pub(super) fn find(number: u32) -> Result<Found, CameraError> {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    nth(nodes(), at, Node::probe)
        .map_err(|there| {
            let there: Vec<_> = (0..).zip(&there).map(said).collect();
            match there.as_slice() {
                [] => CameraError::NoneFound,
                there => CameraError::NoSuch {
                    number,
                    there: there.join(", "),
                },
            }
        })
        .and_then(usable)
}

/// The camera that comes `at`-th among the nodes that are one, or all if there are fewer.
fn nth<N, F>(nodes: Vec<N>, at: usize, probe: impl FnMut(N) -> Option<F>) -> Result<F, Vec<F>> {
    let mut cameras = nodes.into_iter().filter_map(probe);
    let mut before = Vec::new();
    while before.len() < at {
        match cameras.next() {
            Some(found) => before.push(found),
            None => return Err(before),
        }
    }
    cameras.next().ok_or(before)
}

/// A camera that was open before.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: String,
    index: CameraIndex,
}

/// Opens the camera of that number.
pub(super) fn open(number: u32) -> Result<(Known, Box<dyn Camera>), CameraError> {
    find(number).and_then(begin_any)
}

/// Opens a camera that was open before: nodes move when one is unplugged, names do not. Only where the node is not the
/// camera's any more, others are opened to find it.
pub(super) fn open_again(known: &Known) -> Result<(Known, Box<dyn Camera>), CameraError> {
    again(nodes(), known, Node::probe)
        .ok_or_else(|| CameraError::Unplugged {
            name: known.name.clone(),
        })
        .and_then(usable)
        .and_then(begin_any)
}

/// The node that was the camera's if it still has its name, else the first other of that name that is a camera.
fn again<F>(nodes: Vec<Node>, known: &Known, probe: impl FnMut(Node) -> Option<F>) -> Option<F> {
    let mut named: Vec<_> = nodes
        .into_iter()
        .filter(|node| node.name == known.name)
        .collect();
    named.sort_by_key(|node| node.index != known.index);
    named.into_iter().find_map(probe)
}

fn begin_any(found: Found) -> Result<(Known, Box<dyn Camera>), CameraError> {
    let camera = start(&found)?;
    let known = Known {
        name: found.name,
        index: found.index,
    };
    Ok((known, Box::new(camera)))
}

/// A camera at work.
struct Running {
    name: String,
    device: Device,
    format: CameraFormat,
}

impl Camera for Running {
    fn next(&mut self) -> Result<RawFrame<'_>, CameraError> {
        let format = self.format;
        // blocks for as long as the driver likes, and gives the whole buffer with old bytes at its end
        let bytes = match self.device.frame_raw() {
            Ok(bytes) => bytes,
            Err(err) => return Err(error(&self.name, &err)),
        };
        Ok(RawFrame {
            format,
            bytes,
            captured: now(),
        })
    }

    fn format(&self) -> CameraFormat {
        self.format
    }
}

/// What to call the camera in a list.
fn said((number, found): (u32, &Found)) -> String {
    format!("{number} ({})", found.name)
}

fn usable(found: Found) -> Result<Found, CameraError> {
    let name = found.name.clone();
    match &found.offer {
        Offer::Formats(formats) if choose::rank(formats).is_empty() => {
            Err(CameraError::NoFormat { name })
        }
        Offer::Formats(_) => Ok(found),
        Offer::Busy => Err(CameraError::Busy { name }),
        Offer::Forbidden => Err(CameraError::Forbidden { name }),
        Offer::Failed(why) => Err(CameraError::Failed {
            name,
            why: why.clone(),
        }),
    }
}

/// The formats that we understand.
const WANTED: [FrameFormat; 3] = [FrameFormat::MJPEG, FrameFormat::YUYV, FrameFormat::NV12];

/// Formats tried before a camera counts as failed: some list what they then refuse.
const TRIES: usize = 8;

fn start(found: &Found) -> Result<Running, CameraError> {
    let name = &found.name;
    let formats = match &found.offer {
        Offer::Formats(formats) => choose::rank(formats),
        Offer::Busy | Offer::Forbidden | Offer::Failed(_) => Vec::new(),
    };
    let mut last = CameraError::NoFormat { name: name.clone() };
    for format in formats.into_iter().take(TRIES) {
        match begin(found, format) {
            Ok(running) => return Ok(running),
            Err(err @ (CameraError::Busy { .. } | CameraError::Forbidden { .. })) => {
                return Err(err);
            }
            Err(err) => last = err,
        }
        tracing::debug!(name, %format, %last, "the camera refuses what it lists");
    }
    Err(last)
}

fn begin(found: &Found, format: CameraFormat) -> Result<Running, CameraError> {
    let failed = |err: NokhwaError| error(&found.name, &err);
    // only Exact is done as asked: Closest gave 10 fps where 25 were listed
    let mut device =
        device(&found.index, RequestedFormatType::Exact(theirs(format))).map_err(failed)?;
    let format = ours(device.camera_format()).ok_or_else(|| CameraError::NoFormat {
        name: found.name.clone(),
    })?;
    device.open_stream().map_err(failed)?;
    Ok(Running {
        name: found.name.clone(),
        device,
        format,
    })
}

/// `None` if this node is no camera.
fn probe(index: &CameraIndex) -> Option<Offer> {
    let formats = device(index, RequestedFormatType::None)
        .and_then(|mut device| device.compatible_camera_formats());
    match formats {
        Ok(formats) => {
            let mut formats: Vec<_> = formats.into_iter().filter_map(ours).collect();
            formats.sort_by_key(|f| (f.pixels as u8, f.size.width(), f.size.height(), f.fps));
            formats.dedup();
            Some(Offer::Formats(formats))
        }
        Err(err) => match trouble(&err) {
            Trouble::Busy => Some(Offer::Busy),
            Trouble::Forbidden => Some(Offer::Forbidden),
            Trouble::Gone | Trouble::NoCamera => None,
            Trouble::Other => Some(Offer::Failed(err.to_string())),
        },
    }
}

fn device(index: &CameraIndex, wanted: RequestedFormatType) -> Result<Device, NokhwaError> {
    let open = || {
        Device::new(
            index.clone(),
            RequestedFormat::with_formats(wanted, &WANTED),
        )
    };
    #[cfg(target_os = "linux")]
    match open() {
        Err(err @ NokhwaError::GetPropertyError { .. }) => {
            let number = index.as_index()?;
            if let Err(why) = super::v4l2::settle(number) {
                tracing::debug!(number, %err, %why, "the camera cannot be settled");
                return Err(err);
            }
            open()
        }
        done => done,
    }
    #[cfg(not(target_os = "linux"))]
    open()
}

/// What an error of the library is about. It only has words; the system's own are in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Busy,
    Forbidden,
    Gone,
    NoCamera,
    Other,
}

fn trouble(err: &NokhwaError) -> Trouble {
    let text = err.to_string().to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&["busy", "in use"]) {
        Trouble::Busy
    } else if any(&["permission denied", "not permitted", "denied"]) {
        Trouble::Forbidden
    } else if any(&["no such device", "no such file"]) {
        Trouble::Gone
    } else if any(&[
        "failed to fufill",
        "invalid argument",
        "inappropriate ioctl",
    ]) {
        Trouble::NoCamera
    } else {
        Trouble::Other
    }
}

fn error(name: &str, err: &NokhwaError) -> CameraError {
    let name = name.to_owned();
    match trouble(err) {
        Trouble::Busy => CameraError::Busy { name },
        Trouble::Forbidden => CameraError::Forbidden { name },
        Trouble::Gone => CameraError::Unplugged { name },
        Trouble::NoCamera | Trouble::Other => CameraError::Failed {
            name,
            why: err.to_string(),
        },
    }
}

fn ours(format: TheirFormat) -> Option<CameraFormat> {
    Some(CameraFormat {
        size: Size::new(format.width(), format.height()).ok()?,
        fps: format.frame_rate(),
        pixels: match format.format() {
            FrameFormat::MJPEG => PixelFormat::Jpeg,
            FrameFormat::YUYV => PixelFormat::Yuyv,
            FrameFormat::NV12 => PixelFormat::Nv12,
            FrameFormat::GRAY | FrameFormat::RAWRGB | FrameFormat::RAWBGR => return None,
        },
    })
}

fn theirs(format: CameraFormat) -> TheirFormat {
    let side = |side| u32::try_from(side).unwrap_or(u32::MAX);
    let frame_format = match format.pixels {
        PixelFormat::Jpeg => FrameFormat::MJPEG,
        PixelFormat::Yuyv => FrameFormat::YUYV,
        PixelFormat::Nv12 => FrameFormat::NV12,
    };
    let (width, height) = (side(format.size.width()), side(format.size.height()));
    TheirFormat::new_from(width, height, frame_format, format.fps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_s_words_are_understood() {
        let open = |why: &str| NokhwaError::OpenDeviceError("0".to_owned(), why.to_owned());
        let cases = [
            (
                open("V4L2 Error: Permission denied (os error 13)"),
                Trouble::Forbidden,
            ),
            (
                open("V4L2 Error: No such device (os error 19)"),
                Trouble::Gone,
            ),
            (
                NokhwaError::OpenStreamError("Device or resource busy (os error 16)".to_owned()),
                Trouble::Busy,
            ),
            (
                NokhwaError::GetPropertyError {
                    property: "CameraFormat".to_owned(),
                    error: "Failed to Fufill".to_owned(),
                },
                Trouble::NoCamera,
            ),
            (NokhwaError::UnitializedError, Trouble::Other),
        ];
        for (err, expected) in cases {
            assert_eq!(trouble(&err), expected, "{err}");
        }
    }

    fn node(number: u32, name: &str) -> Node {
        Node {
            name: name.to_owned(),
            index: CameraIndex::Index(number),
        }
    }

    #[test]
    fn no_more_nodes_are_opened_than_it_takes() {
        let nodes = || {
            ["a", "metadata", "b", "c"]
                .into_iter()
                .zip(0..)
                .map(|(name, number)| node(number, name))
                .collect::<Vec<_>>()
        };
        let mut opened = Vec::new();
        let mut probe = |node: Node| {
            opened.push(node.name.clone());
            (node.name != "metadata").then_some(node.name)
        };
        assert_eq!(nth(nodes(), 1, &mut probe).unwrap(), "b");
        assert_eq!(nth(nodes(), 3, &mut probe).unwrap_err(), ["a", "b", "c"]);
        assert_eq!(opened[..3], ["a", "metadata", "b"]);
        assert_eq!(opened.len(), 3 + 4);

        let known = |number, name: &str| Known {
            name: name.to_owned(),
            index: CameraIndex::Index(number),
        };
        opened.clear();
        let mut probe = |node: Node| {
            opened.push(node.name.clone());
            Some(node.index)
        };
        let index = |number| Some(CameraIndex::Index(number));
        assert_eq!(again(nodes(), &known(2, "b"), &mut probe), index(2));
        assert_eq!(again(nodes(), &known(7, "c"), &mut probe), index(3));
        assert_eq!(again(nodes(), &known(0, "gone"), &mut probe), None);
        assert_eq!(opened, ["b", "c"]);
    }

    #[test]
    fn formats_survive_the_way_to_the_library_and_back() {
        for pixels in [PixelFormat::Jpeg, PixelFormat::Yuyv, PixelFormat::Nv12] {
            let format = CameraFormat {
                size: Size::new(1280, 720).unwrap(),
                fps: 30,
                pixels,
            };
            assert_eq!(ours(theirs(format)), Some(format));
        }
    }
}
