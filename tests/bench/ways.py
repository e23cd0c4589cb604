#!/usr/bin/env python3
"""What faults of the network do to a viewer who may use QUIC and TLS: a real server and viewer in two namespaces, and a
line between them on which UDP is lost, silent, cut or limited. Prints a row of a table for each fault.

usage: ways.py [--cuts N] [--seconds N] [--video SRC --fps N] [FAULT...]
FAULT: far (none, but a long way), lan (none, and a short one; and 1 packet of 1000 lost), loss (1, 2 and 5 %), silent (UDP from the start), refused (UDP, by ICMP), address (the
viewer's changes), cut (UDP while it plays, N times), back (UDP, after 10 s), dead (everything, for 3 s), limit (200 kB of
UDP, then silence), throttle (UDP to 500 kB/s, for 5 minutes), nat (which forgets UDP after 15 s without any), small (no UDP
packet over 1280 bytes gets through, from the start, and from the middle); all of them if none is named.
Needs root, iproute2, nftables, /dev/net/tun, and the emulator `linkem.py`, whose path LINKEM says; TUNNELCAST is the program.
"""
import argparse, json, os, signal, statistics, subprocess, sys, tempfile, threading, time

LINE = {"delay_ms": 5, "rate_mbit": 50, "queue_ms": 100}


class Network:
    """A line, and a server at its far end."""

    def __init__(self, directory, video, *serve):
        self.path = os.path.join(directory, "line.json")
        self.settings = dict(LINE)
        self.write()
        self.line = subprocess.Popen([sys.executable, EMULATOR, "--set", self.path], stdout=subprocess.PIPE)
        self.line.stdout.readline()
        self.server = self.inside("tc_srv", "serve", "--listen", "10.77.9.2:8443", "--host", "10.77.9.2", "--video",
                                  video, "--certs", os.path.join(directory, "certs"), *serve)
        self.link = json.loads(self.server.stdout.readline())["link"]
        self.networks = os.path.join(directory, "networks")

    def inside(self, where, *command):
        return subprocess.Popen(["ip", "netns", "exec", where, PROGRAM, "--json", *command], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)

    def write(self, **changes):
        self.settings.update(changes)
        with open(self.path + ".new", "w") as file:
            json.dump(self.settings, file)
        os.replace(self.path + ".new", self.path)

    def watch(self, seconds, *options, networks=None):
        return self.inside("tc_cli", "watch", self.link, "--headless", "--duration", f"{seconds}s", "--networks",
                           networks or "/dev/null/networks", *options)

    def close(self):
        for process in (self.server, self.line):
            process.send_signal(signal.SIGINT)
        for process in (self.server, self.line):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def events(viewer, name):
    """The events of this name, until the viewer ends; and its last, the summary."""
    found, last = [], None
    for text in viewer.stdout:
        last = json.loads(text)
        if last["event"] == name:
            found.append(last)
    viewer.wait()
    return found, last


def loss(network, options):
    for share in (0.01, 0.02, 0.05):
        network.write(loss=share)
        seconds, summary = events(network.watch(options.seconds, "--transport", "quic"), "stats")
        shown = sum(event["frames_shown"] - event["frames_partial"] for event in seconds[2:-1])
        asked = options.fps * len(seconds[2:-1])
        delay = summary["latency_ms"]
        print(f"| {share:.0%} of packets lost | {shown / asked:.1%} of frames whole, delay p50 {delay['p50']:.0f}, p99 "
              f"{delay['p99']:.0f}, max {delay['max']:.0f} ms, sound lost {summary['audio_lost']} of "
              f"{summary['audio_packets']} |", flush=True)
    network.write(loss=0.0)


def lan(network, options):
    """Delay over each way where nothing is in the way, shown as soon as it is whole; in turn."""
    for share in (0.0, 0.001):
        network.write(delay_ms=0.25, rate_mbit=0, loss=share)
        delays = {"tls": [], "quic": []}
        for _ in range(3):
            for way, found in delays.items():
                _, summary = events(network.watch(options.seconds // 2, "--transport", way, "--latency", "instant"), "stats")
                found.append(summary["latency_ms"])
        said = "; ".join(f"over {way} p50 {statistics.median(one['p50'] for one in found):.1f}, p99 "
                         f"{statistics.median(one['p99'] for one in found):.1f}, max {max(one['max'] for one in found):.0f} ms"
                         for way, found in delays.items())
        print(f"| none, a round trip of 0.5 ms, {share:.1%} of packets lost | delay, pictures shown at once, three times each "
              f"in turn: {said} |", flush=True)
    network.write(**LINE, loss=0.0)


def first(network, *more, networks=None):
    """When the first picture is there, in ms; the median of seven."""
    times = []
    for _ in range(7):
        (connected,), _ = events(network.watch(2, *more, networks=networks), "connected")
        times.append(connected["first_frame_ms"])
    return statistics.median(times)


def far(network, options):
    near = {way: first(network, "--transport", way) for way in ("tls", "quic")}
    network.write(delay_ms=55)
    for way, before in near.items():
        after = first(network, "--transport", way)
        print(f"| first picture over {way} | {before:.0f} ms with a round trip of 10 ms, {after:.0f} with one of 110: "
              f"{(after - before) / 100:.1f} round trips |", flush=True)
    network.write(**LINE)


def refused(network, options):
    tls, both = first(network, "--transport", "tls"), first(network)
    print(f"| UDP refused by ICMP | first picture after {both:.0f} ms, {both - tls:.0f} later than over TLS alone ({tls:.0f}), "
          f"with a round trip of 10 ms |", flush=True)


def address(network, options):
    gaps, lost, moves = [], 0, 0
    for turn in range(5):
        viewer = network.watch(8)
        time.sleep(3.5)
        subprocess.run(["ip", "-n", "tc_cli", "addr", "flush", "dev", "line"], check=True)
        subprocess.run(["ip", "-n", "tc_cli", "addr", "add", f"10.77.9.{3 + turn}/24", "dev", "line"], check=True)
        seconds, summary = events(viewer, "stats")
        gaps.append(summary["video_gap_max_ms"])
        lost += summary["audio_lost"]
        moves += summary["switches"]
    print(f"| the viewer's address changes, 5 times | gap of the picture {statistics.median(gaps):.0f} ms (median, at most "
          f"{max(gaps):.0f}), {moves} moves, {lost} packets of sound lost |", flush=True)


def silent(network, options):
    tls = first(network, "--transport", "tls")
    quic = first(network)
    network.write(udp="drop")
    unknown = first(network)
    events(network.watch(4, networks=network.networks), "connected")
    known = first(network, networks=network.networks)
    network.write(udp="open")
    print(f"| UDP silent from the start | first picture after {unknown:.0f} ms, {unknown - tls:.0f} later than over TLS "
          f"alone ({tls:.0f}); the second time {known:.0f}; where UDP is open {quic:.0f} |", flush=True)


def cut(network, options):
    gaps, sounds, lost, cuts, others = [], [], 0, 0, 0
    while cuts < options.cuts and others < 20:
        viewer, moves, summary = network.watch(5), [], None
        timer = threading.Timer(2.5, lambda: network.write(udp="drop"))
        for text in viewer.stdout:
            event = json.loads(text)
            if event["event"] == "connected":
                if event["transport"] != "quic":
                    # QUIC has lost the race: there is nothing to cut.
                    viewer.send_signal(signal.SIGINT)
                    continue
                timer.start()
            elif event["event"] == "switched":
                moves.append(event)
            elif event["event"] == "summary":
                summary = event
        viewer.wait()
        was_cut = timer.ident is not None
        timer.cancel()
        network.write(udp="open")
        # Until the line has noticed.
        time.sleep(0.1)
        if not was_cut:
            others += 1
            continue
        cuts += 1
        gaps += [move["video_gap_ms"] for move in moves[:1]]
        sounds.append(summary["audio_gap_max_ms"])
        lost += summary["audio_lost"]
    gaps.sort()
    if others:
        print(f"{others} more viewers came over TLS from the start", file=sys.stderr)
    print(f"| UDP cut while playing, {options.cuts} times | moved {len(gaps)} times, gap of the picture p50 "
          f"{gaps[len(gaps) // 2]:.0f}, p95 {gaps[len(gaps) * 95 // 100]:.0f}, max {gaps[-1]:.0f} ms; of the sound at most "
          f"{max(sounds):.0f} ms, {lost} packets lost |", flush=True)


def back(network, options):
    viewer = network.watch(40)
    time.sleep(3)
    network.write(udp="drop")
    time.sleep(10)
    network.write(udp="open")
    returned = time.monotonic()
    seen = None
    for text in viewer.stdout:
        event = json.loads(text)
        if event["event"] == "switched" and event["to"] == "quic":
            seen = time.monotonic() - returned
            gap = event["video_gap_ms"]
    viewer.wait()
    print(f"| UDP back after 10 s | on QUIC again {seen:.1f} s later, gap of the picture {gap:.0f} ms, sound lost "
          f"{event['audio_lost']} |" if seen else "| UDP back after 10 s | not on QUIC within 27 s |", flush=True)


def dead(network, options):
    times = []
    for _ in range(5):
        viewer = network.watch(12)
        time.sleep(3)
        network.write(loss=1.0)
        time.sleep(3)
        network.write(loss=0.0)
        seconds, summary = events(viewer, "stats")
        times.append(summary["video_gap_max_ms"] - 3000)
    print(f"| everything dead for 3 s | a picture again {statistics.median(times):.0f} ms (median of 5, at most "
          f"{max(times):.0f}) behind its end |", flush=True)


def limit(network, options):
    network.write(udp="limit 200000")
    moves, summary = events(network.watch(options.seconds * 2), "switched")
    network.write(udp="open")
    print(f"| UDP passes 200 kB, then nothing | {len(moves)} moves in {options.seconds * 2} s, longest gap of the picture "
          f"{summary['video_gap_max_ms']:.0f} ms, sound lost {summary['audio_lost']} |", flush=True)


def rules(*lines):
    """Replaces the rules of the viewer's side, behind the line: what its sockets send or get has passed the line."""
    text = "table inet box\ndelete table inet box\n" + ("table inet box {\n" + "\n".join(lines) + "\n}\n" if lines else "")
    subprocess.run(["ip", "netns", "exec", "tc_cli", "nft", "-f", "-"], input=text, text=True, check=True)


def arriving(*lines):
    return "chain arriving { type filter hook input priority 0;", *lines, "}"


def played(summary):
    return (f"longest gap of the picture {summary['video_gap_max_ms']:.0f} ms, {summary['frames_shown']} frames, "
            f"{summary['frames_partial']} of them not whole, sound lost {summary['audio_lost']} of {summary['audio_packets']}")


def throttle(network, options):
    rules(*arriving("meta l4proto udp limit rate over 500 kbytes/second burst 50 kbytes drop"))
    moves, summary = events(network.watch(300), "switched")
    rules()
    print(f"| UDP throttled to 500 kB/s | {len(moves)} moves in 5 minutes, over {summary['transport']} at the end, "
          f"{played(summary)} |", flush=True)


def nat(network, options):
    rules("set open { type inet_service; flags timeout; timeout 15s; }",
          "chain leaving { type filter hook output priority 0; meta l4proto udp update @open { udp sport }", "}",
          *arriving("meta l4proto udp udp dport != @open drop"))
    moves, summary = events(network.watch(60), "switched")
    rules()
    print(f"| NAT that forgets UDP after 15 s without any | {len(moves)} moves in 60 s, over {summary['transport']}, "
          f"{played(summary)} |", flush=True)


def small(network, options):
    # The line's packets are counted with their IP head.
    narrow = arriving("meta l4proto udp meta length > 1280 drop")
    rules(*narrow)
    moves, summary = events(network.watch(20), "switched")
    print(f"| UDP packets over 1280 bytes dropped, from the start | over {summary['transport']}, {len(moves)} moves, "
          f"{played(summary)} |", flush=True)
    rules()
    viewer = network.watch(20)
    time.sleep(8)
    rules(*narrow)
    moves, summary = events(viewer, "switched")
    rules()
    print(f"| UDP packets over 1280 bytes dropped, from the middle | over {summary['transport']}, {len(moves)} moves, "
          f"{played(summary)} |", flush=True)


FAULTS = {"far": far, "lan": lan, "loss": loss, "silent": silent, "refused": refused, "address": address, "cut": cut, "back": back, "dead": dead, "limit": limit,
          "throttle": throttle, "nat": nat, "small": small}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--video", default="testcard:1280x720@30")
    parser.add_argument("--fps", type=int, default=30, help="of that")
    parser.add_argument("faults", nargs="*", metavar="FAULT")
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    for need in (EMULATOR, PROGRAM):
        if not os.path.exists(need):
            sys.exit(f"ways.py: {need} is missing")
    print("| fault | what the viewer sees |", "|---|---|", sep="\n", flush=True)
    for fault in options.faults or FAULTS:
        with tempfile.TemporaryDirectory() as directory:
            network = Network(directory, options.video, *(["--no-quic"] if fault == "refused" else []))
            try:
                FAULTS[fault](network, options)
            finally:
                network.close()


EMULATOR = os.environ.get("LINKEM", "../shared/lab/link/linkem.py")
PROGRAM = os.environ.get("TUNNELCAST", "target/release/tunnelcast")
main()
