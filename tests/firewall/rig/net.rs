//! Three network namespaces in a row: the viewer's, the box's, the server's.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Box,
    Server,
}

/// The box, as the viewer sees it: its router.
pub(crate) const BOX: &str = "10.77.1.1";
/// The viewer's side of the box.
pub(crate) const CLIENT_SIDE: &str = "inner";
/// The server, on port 443.
pub(crate) const SERVER: &str = "10.77.2.2";
/// The server's name, where somebody knows it.
pub(crate) const NAME: &str = "stream.example";

/// Gone when dropped, with all that runs in it.
pub(crate) struct Net {
    name: String,
    dir: TempDir,
}

impl Net {
    /// For the test that runs on this thread; `None`, and a word about it, where a program or a right is missing.
    pub(crate) fn new(needs: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        if let Some(missing) = ["ip", "nft", "ss"]
            .iter()
            .chain(needs)
            .find(|it| !there(it))
        {
            println!("skipped: {test}: {missing} is not installed");
            return None;
        }
        sweep();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            name: format!("{PREFIX}{}-{count}", std::process::id()),
            dir: tempfile::tempdir().unwrap(),
        };
        // Some boxes give up being root.
        fs::set_permissions(net.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if let Err(why) = net.build() {
            println!(
                "skipped: {test}: needs a kernel and a user that may make network namespaces: {why}"
            );
            return None;
        }
        Some(net)
    }

    fn build(&self) -> Result<(), String> {
        for side in Side::ALL {
            let name = self.namespace(side);
            let own = Path::new("/etc/netns").join(&name);
            fs::create_dir_all(&own).map_err(|err| err.to_string())?;
            ip(&["netns", "add", &name])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            self.names(side, "");
            // Whoever asks for names asks the box, and is seen there.
            let _ = fs::write(
                own.join("resolv.conf"),
                format!("nameserver {BOX}\noptions timeout:1 attempts:1\n"),
            );
        }
        let (client, middle, server) = (
            self.namespace(Side::Client),
            self.namespace(Side::Box),
            self.namespace(Side::Server),
        );
        for (near, far) in [(&client, CLIENT_SIDE), (&server, "outer")] {
            let (net, peer) = (
                ["link", "add", "net", "netns", near],
                ["type", "veth", "peer", "name", far, "netns", &middle],
            );
            ip(&[&net[..], &peer[..]].concat())?;
        }
        for (at, device, address) in [
            (&client, "net", "10.77.1.2/24"),
            (&middle, CLIENT_SIDE, "10.77.1.1/24"),
            (&middle, "outer", "10.77.2.1/24"),
            (&server, "net", "10.77.2.2/24"),
        ] {
            ip(&["-n", at, "addr", "add", address, "dev", device])?;
            // Each packet by itself, as on a real line: rules about lengths would else see many packets as one.
            ip(&["-n", at, "link", "set", device, "gso_max_segs", "1", "up"])?;
        }
        ip(&["-n", &client, "route", "add", "default", "via", "10.77.1.1"])?;
        ip(&[
            "-n",
            &server,
            "route",
            "add",
            "10.77.1.0/24",
            "via",
            "10.77.2.1",
        ])?;
        self.sysctl("net/ipv4/ip_forward", "1")?;
        self.load(Side::Box, "table inet box {}\n")
    }

    /// The namespace's name.
    pub(crate) fn namespace(&self, side: Side) -> String {
        let side = match side {
            Side::Client => "client",
            Side::Box => "box",
            Side::Server => "server",
        };
        format!("{}-{side}", self.name)
    }

    /// A name that no other rig of this machine has.
    pub(crate) fn unique(&self) -> String {
        self.name.replace('-', "x")
    }

    /// Where this rig's files are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file that goes with it.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A program that runs on that side, without this machine's proxies.
    pub(crate) fn command(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(side), program])
            .env("PATH", path())
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command
                .env_remove(name)
                .env_remove(name.to_ascii_lowercase());
        }
        command
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(&self, side: Side, arguments: &[&str]) -> Output {
        let mut command = self.command(side, arguments[0]);
        command.args(&arguments[1..]).output().unwrap()
    }

    /// `curl` where the viewer is: its exit status and what it printed; it gives up after a while.
    pub(crate) fn curl(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let fixed = ["curl", "--silent", "--show-error", "--max-time", "20"];
        let out = self.run(Side::Client, &[&fixed[..], arguments].concat());
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// What the box does with what passes it: lines of a chain at `forward`, in place of those before.
    pub(crate) fn passing(&self, lines: &str) {
        self.rules(&format!(
            "chain passing {{ type filter hook forward priority 0; {lines} }}"
        ));
    }

    /// Nothing passes the box: only what runs in it is reached.
    pub(crate) fn closed(&self) {
        self.passing("policy drop;");
    }

    /// All the rules of the box, in place of those before.
    pub(crate) fn rules(&self, text: &str) {
        self.rules_at(Side::Box, text);
    }

    /// The same on another side.
    pub(crate) fn rules_at(&self, side: Side, text: &str) {
        let whole =
            format!("table inet box\ndelete table inet box\ntable inet box {{\n{text}\n}}\n");
        self.load(side, &whole).unwrap();
    }

    fn load(&self, side: Side, text: &str) -> Result<(), String> {
        let mut nft = self.command(side, "nft");
        nft.args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut nft = nft.spawn().map_err(|err| err.to_string())?;
        nft.stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        said(&nft.wait_with_output().unwrap())
    }

    /// What a named counter of the box has counted, in packets.
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        let out = self.run(
            Side::Box,
            &["nft", "list", "counter", "inet", "box", counter],
        );
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let packets = text
            .split_whitespace()
            .skip_while(|word| *word != "packets")
            .nth(1);
        packets
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no counter {counter}: {text}"))
    }

    /// A setting of the box's kernel.
    pub(crate) fn sysctl(&self, name: &str, value: &str) -> Result<(), String> {
        let line = format!("echo {value} >/proc/sys/{name}");
        said(&self.run(Side::Box, &["sh", "-c", &line]))
    }

    /// What that side knows of names by itself, besides `localhost`: lines of `/etc/hosts`.
    pub(crate) fn names(&self, side: Side, lines: &str) {
        let path = Path::new("/etc/netns")
            .join(self.namespace(side))
            .join("hosts");
        // Where it cannot be written, building the namespace says so.
        let _ = fs::write(path, format!("127.0.0.1 localhost\n{lines}\n"));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for side in Side::ALL {
            remove(&self.namespace(side));
        }
    }
}

impl Side {
    pub(crate) const ALL: [Self; 3] = [Self::Client, Self::Box, Self::Server];
}

/// Ends what runs in a namespace, and the namespace.
fn remove(name: &str) {
    if let Ok(pids) = Command::new("ip").args(["netns", "pids", name]).output() {
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            let _gone = Command::new("kill")
                .args(["-9", pid])
                .stderr(Stdio::null())
                .status();
        }
    }
    let _gone = ip(&["netns", "del", name]);
    let _gone = fs::remove_dir_all(Path::new("/etc/netns").join(name));
}

/// Removes what a run that was killed has left.
fn sweep() {
    for entry in fs::read_dir("/etc/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            remove(&name);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    said(
        &Command::new("ip")
            .args(arguments)
            .output()
            .map_err(|err| err.to_string())?,
    )
}

fn said(output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', "; "))
}

/// Whether a program is there: a name, or a path.
pub(super) fn there(program: &str) -> bool {
    std::env::split_paths(&path()).any(|dir| dir.join(program).is_file())
}

/// Where programs are; a user's path may leave out those of the system.
fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// Before the process id in each name.
const PREFIX: &str = "firewall-";
