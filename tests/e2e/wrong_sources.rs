//! Sources, ports, displays and disks that are not there, or not what they should be.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{CARD, Ended, FILM, Program, have, is_root};

/// `serve` with this picture, which must not start.
fn refused(video: &Path) -> Ended {
    let certs = tempfile::tempdir().unwrap();
    Program::with(
        [
            "serve".as_ref(),
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--certs".as_ref(),
            certs.path().as_os_str(),
            "--video".as_ref(),
            format!("file:{}", video.display()).as_ref(),
        ],
        |_| {},
    )
    .end()
}

/// A file with these bytes.
fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_that_are_none_are_refused_before_anything_listens() {
    let dir = tempfile::tempdir().unwrap();
    refused(&dir.path().join("gone.mp4")).says(5, "there is no file");
    refused(dir.path()).says(5, "is a directory");
    refused(&file(&dir, "empty.mp4", b"")).says(5, "is empty (0 bytes)");
}

#[test]
fn a_file_that_is_no_video_is_called_so() {
    if !have("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = "To be, or not to be, that is the question.\n".repeat(100);
    refused(&file(&dir, "hamlet.mp4", text.as_bytes())).says(5, "is no video or sound");
}

#[test]
fn a_film_that_was_cut_short_is_called_damaged() {
    if !have("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let film = std::fs::read(FILM).unwrap();
    refused(&file(&dir, "half.mp4", &film[..film.len() / 2])).says(5, "cut short or damaged");
}

#[test]
fn a_film_without_ffmpeg_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let video = format!("file:{FILM}");
    let ended = Program::with(
        [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--certs",
            &certs,
            "--video",
            &video,
        ],
        |command| {
            command.env("PATH", dir.path());
        },
    )
    .end();
    ended.says(
        5,
        "ffmpeg, which is not installed; try `apt install ffmpeg`",
    );
}

#[test]
fn a_camera_that_is_not_there_is_missed() {
    if Path::new("/dev/video0").exists() {
        println!("skipped: this machine has a camera");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let ended = Program::with(
        [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--certs",
            &certs,
            "--video",
            "camera",
        ],
        |_| {},
    )
    .end();
    let words = if cfg!(feature = "camera") {
        "no camera found; plug one in, or try --video testcard"
    } else {
        "this build has no camera support"
    };
    ended.says(5, words);
}

#[test]
fn neither_picture_nor_sound_is_nothing_to_serve() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let ended = Program::with(
        [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--certs",
            &certs,
            "--video",
            "none",
        ],
        |_| {},
    )
    .end();
    ended.says(5, "neither picture nor sound");
}

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let ended = Program::with(
        [
            "serve", "--listen", &addr, "--certs", &certs, "--video", CARD,
        ],
        |_| {},
    )
    .end();
    ended.says(2, "is in use by another program");
    ended.says(2, "--listen");
}

#[test]
fn the_port_443_without_the_right_to_it_says_how_to_get_it() {
    let limit = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let limit = limit.ok().and_then(|text| text.trim().parse::<u16>().ok());
    if limit.is_none_or(|limit| limit <= 443) {
        println!("skipped: everybody may listen on 443 on this machine");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dropped = [
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
    ];
    let works = Command::new("setpriv")
        .args(dropped)
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut command = if works {
        // As root: without that one capability.
        let mut command = Command::new("setpriv");
        command.args(dropped).arg(env!("CARGO_BIN_EXE_tunnelcast"));
        command
    } else if is_root() {
        println!("skipped: setpriv cannot take the right away from root");
        return;
    } else {
        // There is no right to lose.
        Command::new(env!("CARGO_BIN_EXE_tunnelcast"))
    };
    command
        .args([
            "--json",
            "serve",
            "--listen",
            "127.0.0.1:443",
            "--video",
            CARD,
            "--certs",
        ])
        .arg(dir.path())
        .stdin(Stdio::null());
    let ended = Program::spawn(command).end();
    ended.says(2, "no right to listen on port 443");
    ended.says(2, "setcap cap_net_bind_service");
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let ended = Program::with(
        [
            "serve",
            "--listen",
            "192.0.2.1:0",
            "--certs",
            &certs,
            "--video",
            CARD,
        ],
        |_| {},
    )
    .end();
    ended.says(2, "192.0.2.1 is no address of this machine");
}

#[test]
fn a_window_without_a_display_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let ended = Program::with(["watch", &link.to_string()], |command| {
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    })
    .end();
    let words = if cfg!(feature = "window") {
        "set DISPLAY or WAYLAND_DISPLAY, or use --headless"
    } else {
        "this build has no window"
    };
    ended.says(5, words);
}

/// Watches for one snapshot.
fn snapshot(path: &Path) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), "--video testcard:640x368@10");
    let link = link.to_string();
    let path = path.to_str().unwrap();
    Program::with(["watch", "--headless", &link, "--snapshot", path], |_| {}).end()
}

#[test]
fn a_snapshot_is_a_jpeg_and_then_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shot.jpg");
    let ended = snapshot(&path);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.summary();
    let bytes = std::fs::read(&path).unwrap();
    let size = tunnelcast::codec::jpeg_size(&bytes).unwrap();
    assert_eq!(size.to_string(), "640x368");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_snapshot_into_a_directory_that_is_not_there_fails_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone").join("shot.jpg");
    let ended = snapshot(&path);
    ended.says(5, &format!("no snapshot: cannot write {}", path.display()));
}

#[test]
fn a_snapshot_onto_a_directory_fails() {
    let dir = tempfile::tempdir().unwrap();
    snapshot(dir.path()).says(5, "is not the name of a file");
}

#[test]
fn a_snapshot_of_sound_alone_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), "--video none --audio tone");
    let path = dir.path().join("shot.jpg");
    let snapshot = format!("--snapshot {}", path.display());
    Program::watch(&link, &snapshot)
        .end()
        .says(5, "no whole picture came, so there is no snapshot");
    assert!(!path.exists());
}

#[test]
fn a_snapshot_onto_a_full_disk_fails_and_leaves_nothing() {
    if !is_root() {
        println!("skipped: to fill a disk takes root");
        return;
    }
    let Some(disk) = Disk::tiny() else {
        println!("skipped: a full disk takes the right to mount one");
        return;
    };
    snapshot(&disk.0.path().join("shot.jpg")).says(5, "No space left on device");
    assert_eq!(std::fs::read_dir(disk.0.path()).unwrap().count(), 0);
}

/// A disk that is soon full, mounted for as long as this lives.
struct Disk(tempfile::TempDir);

impl Disk {
    fn tiny() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8k", "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(dir))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg(self.0.path()).status();
    }
}
