#!/usr/bin/env python3
"""What squid costs a viewer on a line with delay, and what it holds on a slow one: a real server and viewer, squid beside one of
them (near: the viewer, far: the server), and a line between that is emulated. Prints a row of a table for each.

usage: behind.py [--seconds N] [--rounds N] [--rtt MS] [--squid LINES] first | slow
first: when the first picture is there, in ms, by TLS directly, through CONNECT, and through inspection as squid comes, with
nothing remembered and with what the last run has found out; round trip MS (110), the median of N (5).
slow: how old pictures are on 5 Mbit/s with 10 Mbit/s of video, a queue of 500 ms and a round trip of 100 ms (SECONDS: 30), and
what is held on the way, directly and through inspection.
LINES go into squid's configuration.
Needs root, squid, openssl, ffmpeg, /dev/net/tun, and the emulator `linkem.py`, whose path LINKEM says; TUNNELCAST is the program.
"""
import argparse, json, os, signal, statistics, subprocess, sys, tempfile, time

import through

NEAR, FAR = os.environ.get("LINKEM_NAMES", "tc_cli tc_srv").split()
PROXY = {NEAR: "http://127.0.0.1:3128", FAR: "http://10.77.9.2:3128"}
PICTURE = ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "mandelbrot=size=1280x720:rate=30", "-pix_fmt", "yuvj420p",
           "-strict", "-1", "-f", "yuv4mpegpipe", "-"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rtt", type=int, default=110)
    parser.add_argument("--squid", default="")
    parser.add_argument("what", choices=["first", "slow"])
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    emulator = os.environ.get("LINKEM", "../shared/lab/link/linkem.py")
    program = os.environ.get("TUNNELCAST", "target/release/tunnelcast")
    for need in (emulator, program):
        if not os.path.exists(need):
            sys.exit(f"behind.py: {need} is missing")
    settings = {"first": {"delay_ms": options.rtt / 2, "rate_mbit": 50, "queue_ms": 100},
                "slow": {"delay_ms": 50, "rate_mbit": 5, "queue_ms": 500}}[options.what]
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = os.path.join(directory, "line.json")
        with open(path, "w") as file:
            json.dump(settings, file)
        line = subprocess.Popen([sys.executable, emulator, "--set", path], stdout=subprocess.PIPE)
        line.stdout.readline()
        children = [line]
        try:
            {"first": first, "slow": slow}[options.what](directory, program, children, options)
        finally:
            end(children)


def first(directory, program, children, options):
    link = serve(directory, program, children, "testcard:1280x720@30")
    print("| way | squid | first picture, ms | later than directly, round trips |", "|---|---|---|---|", sep="\n", flush=True)

    def row(name, place, where, lines, *more, networks=None):
        times = []
        for _ in range(options.rounds):
            # Each time another one: squid keeps connections to the server for whoever comes next.
            with Squid(directory, where, lines):
                viewer = watch(program, link, 2, *more, networks=networks)
                events = [json.loads(text) for text in viewer.stdout]
                viewer.wait()
            times += [event["first_frame_ms"] for event in events if event["event"] == "connected"]
        middle = statistics.median(times)
        direct = row.direct = getattr(row, "direct", middle)
        print(f"| {name} | {place} | {middle:.0f} | {(middle - direct) / options.rtt:.1f} |", flush=True)

    row("tls", "none", None, "", "--transport", "tls", "--proxy", "none")
    for where, place in ((NEAR, "near"), (FAR, "far")):
        for lines, name in (("ssl_bump none all", "CONNECT"), (options.squid, "inspection")):
            row(name, place, where, lines, "--proxy", PROXY[where])
            if name == "inspection":
                networks = os.path.join(directory, f"networks-{place}")
                with Squid(directory, where, lines):
                    end([watch(program, link, 2, "--proxy", PROXY[where], networks=networks)], wait=True)
                row("inspection, remembered", place, where, lines, "--proxy", PROXY[where], networks=networks)


def slow(directory, program, children, options):
    print("| way | squid | delay p50 / p95 / max, ms | held on the way, ms (half / at most) | pictures/s | Mbit/s | sound lost |",
          "|---|---|---|---|---|---|---|", sep="\n", flush=True)
    through.run("ip", "netns", "exec", FAR, "sysctl", "-q", "net.ipv4.tcp_congestion_control=reno")
    for where, place in ((None, "none"), (NEAR, "near"), (FAR, "far")):
        picture = subprocess.Popen(PICTURE, stdout=subprocess.PIPE)
        served = []
        link = serve(directory, program, served, "pipe:-", "--audio", "tone", stdin=picture.stdout)
        with Squid(directory, where, options.squid):
            viewer = watch(program, link, options.seconds, "--proxy", PROXY.get(where, "none"), *([] if where else ["--transport", "tls"]))
            events = [json.loads(text) for text in viewer.stdout]
            viewer.wait()
        end(served + [picture])
        summary = events[-1]
        held = [event["held_ms"] for event in events if event["event"] == "stats" and event["held_ms"] is not None][3:]
        delay = summary["latency_ms"]
        print(f"| {summary['transport']} | {place} | {delay['p50']:.0f} / {delay['p95']:.0f} / {delay['max']:.0f} | "
              f"{statistics.median(held):.0f} / {max(held):.0f} | {summary['frames_shown'] * 1000 / summary['duration_ms']:.1f} | "
              f"{summary['bitrate_bps'] / 1e6:.2f} | {summary['audio_lost']} of {summary['audio_packets']} |", flush=True)


class Squid:
    """Running, where it is to run at all."""

    def __init__(self, directory, where, lines):
        self.directory, self.where, self.lines = directory, where, lines

    def __enter__(self):
        if self.where is None:
            return
        own = tempfile.mkdtemp(dir=self.directory)
        os.chmod(own, 0o755)
        self.process = through.squid(own, self.where, self.lines)
        for _ in range(100):
            time.sleep(0.1)
            if subprocess.run(["ip", "netns", "exec", self.where, "ss", "-Hltn", "sport = :3128"], capture_output=True).stdout:
                return
        sys.exit("behind.py: squid does not start")

    def __exit__(self, *_):
        if self.where is not None:
            end([self.process])


def serve(directory, program, children, video, *more, stdin=None):
    command = ["ip", "netns", "exec", FAR, program, "--json", "serve", "--listen", "10.77.9.2:443", "--host", "10.77.9.2", "--video",
               video, "--certs", os.path.join(directory, "certs"), *more]
    children.append(subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    return json.loads(children[-1].stdout.readline())["link"]


def watch(program, link, seconds, *more, networks=None):
    return through.start(NEAR, program, "--json", "watch", link, "--headless", "--duration", f"{seconds}s", "--networks",
                         networks or "/dev/null/networks", *more)


def end(children, wait=False):
    for child in reversed(children):
        if not wait:
            child.send_signal(signal.SIGINT)
    for child in reversed(children):
        try:
            child.communicate(timeout=None if wait else 5)
        except (subprocess.TimeoutExpired, ValueError):
            child.kill()


if __name__ == "__main__":
    main()
