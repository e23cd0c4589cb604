#!/usr/bin/env python3
"""What a viewer behind a slow, changing or lossy line gets: a real server and viewer, a line of which rate, delay, queue
and loss are emulated, a TCP that is told to be Reno. Prints a row of a table for each line, and draws delay, bit rate
and step over time.

usage: line.py [--seconds N] [--transport tls|quic] [--tcp reno|cubic|bbr] [--svg FILE] [--video SRC] [LINE...]
FILE may have LINE in it, which becomes the name.
LINE: five (10 Mbit/s of video into 5 Mbit/s, 500 ms of queue, 100 ms round trip; the default), two, half, seesaw
(halves and doubles every 10 s), loss1, loss5, blackout (3 s of nothing, every 60 s).
The picture is any source of `serve`, or lavfi:FILTER, made by ffmpeg, with the tone; as it is set, about 10 Mbit/s.
Needs root, iproute2, /dev/net/tun, and the emulator `linkem.py`, whose path LINKEM says; TUNNELCAST is the program.
"""
import argparse, json, os, re, signal, subprocess, sys, tempfile, threading, time

LINES = {  # settings, and changes: (seconds, settings), repeated
    "five": ({"delay_ms": 50, "rate_mbit": 5, "queue_ms": 500}, []),
    "two": ({"delay_ms": 50, "rate_mbit": 2, "queue_ms": 500}, []),
    "half": ({"delay_ms": 50, "rate_mbit": 0.5, "queue_ms": 500}, []),
    "seesaw": ({"delay_ms": 50, "rate_mbit": 10, "queue_ms": 500}, [(10, {"rate_mbit": 5}), (10, {"rate_mbit": 10})]),
    "loss1": ({"delay_ms": 25, "rate_mbit": 30, "queue_ms": 200, "loss": 0.01}, []),
    "loss5": ({"delay_ms": 25, "rate_mbit": 30, "queue_ms": 200, "loss": 0.05}, []),
    "blackout": ({"delay_ms": 25, "rate_mbit": 30, "queue_ms": 200}, [(57, {"loss": 1.0}), (3, {"loss": 0.0})]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--transport", default="tls")
    parser.add_argument("--tcp", default="reno")
    parser.add_argument("--svg")
    parser.add_argument("--video", default="lavfi:mandelbrot=size=1280x720:rate=30")
    parser.add_argument("--quality", default=None)
    parser.add_argument("lines", nargs="*", default=["five"], metavar="LINE")
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    emulator = os.environ.get("LINKEM", "../shared/lab/link/linkem.py")
    program = os.environ.get("TUNNELCAST", "target/release/tunnelcast")
    for need in (emulator, program):
        if not os.path.exists(need):
            sys.exit(f"line.py: {need} is missing")
    print("| line | tcp | seconds | delay p50 / p95 / max ms | worst 10 s p95 | pictures/s | Mbit/s | sound lost | steps taken "
          "| last step | unsent p95 kB |", "|" + "---|" * 11, sep="\n")
    for line in options.lines or ["five"]:
        run(line, options, emulator, program)


def run(line, options, emulator, program):
    settings, changes = LINES[line]
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "line.json")
        put(path, settings)
        link = subprocess.Popen([sys.executable, emulator, "--set", path], stdout=subprocess.PIPE)
        link.stdout.readline()
        children = [link]
        try:
            # A namespace may only have what is allowed, and says nothing that would be noticed.
            inside("tc_srv", "sysctl", "-q", f"net.ipv4.tcp_congestion_control={options.tcp}")
            tcp = inside("tc_srv", "sysctl", "-n", "net.ipv4.tcp_congestion_control").strip()
            if tcp != options.tcp:
                sys.exit(f"line.py: TCP stays {tcp}: allow {options.tcp} in the system's net.ipv4.tcp_allowed_congestion_control")
            command = [program, "serve", "--listen", "10.77.9.2:8443", "--host", "10.77.9.2", "--video", options.video,
                       "--certs", os.path.join(directory, "certs"), "--state", os.path.join(directory, "state"), "--json"]
            picture = None
            if options.video.startswith("lavfi:"):
                picture = subprocess.Popen(
                    ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", options.video[6:], "-pix_fmt", "yuvj420p",
                     "-strict", "-1", "-f", "yuv4mpegpipe", "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                children.append(picture)
                command[command.index(options.video)] = "pipe:-"
                command += ["--audio", "tone"]
            if options.quality:
                command += ["--quality", options.quality]
            server = start("tc_srv", *command, stdin=picture and picture.stdout)
            children.append(server)
            address = json.loads(server.stdout.readline())["link"]
            steps = []
            threading.Thread(target=follow, args=(server, steps), daemon=True).start()
            viewer = start("tc_cli", program, "watch", address, "--headless", "--json", "--transport", options.transport, "--duration",
                           f"{options.seconds}s")
            children.append(viewer)
            seconds, unsent, done = [], [], threading.Event()
            threading.Thread(target=look, args=(unsent, done), daemon=True).start()
            threading.Thread(target=vary, args=(path, settings, changes, done), daemon=True).start()
            summary, began = None, time.monotonic()
            for text in viewer.stdout:
                event = json.loads(text)
                if event["event"] == "stats":
                    seconds.append((time.monotonic() - began, event))
                elif event["event"] == "summary":
                    summary = event
            done.set()
        finally:
            for child in reversed(children):
                child.send_signal(signal.SIGINT)
            for child in reversed(children):
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
    report(line, options, summary, seconds, [(at - began, *rest) for at, *rest in steps], unsent)


def report(line, options, summary, seconds, steps, unsent):
    if summary is None:
        print(f"| {line} | {options.tcp} | no summary |")
        return
    delay = summary["latency_ms"]
    # The first seconds belong to the start.
    tens = [max((event["latency_ms"]["p95"] or 0) for _, event in seconds[at:at + 10]) for at in range(5, len(seconds), 10)]
    unsent = sorted(unsent)
    print("| {} | {} | {} | {} / {} / {} | {} | {:.1f} | {:.2f} | {} of {} | {} | {} | {:.0f} |".format(
        line, options.tcp, round(summary["duration_ms"] / 1000), *(round(delay[key]) for key in ("p50", "p95", "max")),
        round(max(tens, default=0)), summary["frames_shown"] / (summary["duration_ms"] / 1000),
        summary["bitrate_bps"] / 1e6, summary["audio_lost"], summary["audio_packets"], len(steps),
        steps[-1][1] if steps else 0, unsent[len(unsent) * 95 // 100] / 1e3 if unsent else 0), flush=True)
    if os.environ.get("LOUD"):
        for at, event in seconds:
            print(round(at, 1), json.dumps(event["latency_ms"]), event["frames_shown"], event["bitrate_bps"], event.get("audio_buffer_ms"))
    if options.svg:
        with open(options.svg.replace("LINE", line), "w") as file:
            file.write(draw(seconds, steps, options.seconds))


def draw(seconds, steps, length):
    """Three stacked curves: delay p95 of each second, bit rate, step."""
    width, height, left = 800, 90, 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + left + 20} {3 * (height + 30) + 20}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    stairs, last = [(0.0, 0)], 0
    for at, step, _ in steps:
        stairs += [(at, last), (at, step)]
        last = step
    stairs.append((length, last))
    curves = [
        ("delay, p95 of each second, ms", [(at, event["latency_ms"]["p95"] or 0) for at, event in seconds], 300),
        ("Mbit/s", [(at, event["bitrate_bps"] / 1e6) for at, event in seconds], None),
        ("step (0: best picture)", stairs, None),
    ]
    for row, (title, points, least) in enumerate(curves):
        top = 20 + row * (height + 30)
        most = max([value for _, value in points] + [least or 1])
        place = lambda at, value: f"{left + at / length * width:.1f},{top + height - value / most * height:.1f}"
        out.append(f'<text x="{left}" y="{top - 5}">{title}</text>'
                   f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">{most:.4g}</text>'
                   f'<text x="{left - 6}" y="{top + height}" text-anchor="end">0</text>'
                   f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#ccc"/>'
                   f'<polyline fill="none" stroke="#0645ad" points="{" ".join(place(*point) for point in points)}"/>')
    out.append(f'<text x="{left + width}" y="{3 * (height + 30) + 8}" text-anchor="end">{length} s</text></svg>\n')
    return "\n".join(out)


def follow(server, steps):
    """Notes when the server gives the viewer another step."""
    for text in server.stdout:
        event = json.loads(text)
        if event["event"] == "viewer" and "step" in event:
            steps.append((time.monotonic(), event["step"], event["steps"]))


def look(unsent, done):
    """Notes what the server's socket holds that TCP has not sent, every 100 ms."""
    while not done.wait(0.1):
        for found in re.finditer(r"cwnd:.*", inside("tc_srv", "ss", "-tinH", "sport", "=", ":8443")):
            held = re.search(r"notsent:(\d+)", found[0])
            unsent.append(int(held[1]) if held else 0)


def vary(path, settings, changes, done):
    while changes:
        for seconds, change in changes:
            if done.wait(seconds):
                return
            put(path, {**settings, **change})


def put(path, settings):
    with open(path + ".new", "w") as file:
        json.dump(settings, file)
    os.replace(path + ".new", path)


def inside(namespace, *command):
    return subprocess.run(["ip", "netns", "exec", namespace, *command], capture_output=True, text=True, check=False).stdout


def start(namespace, *command, stdin=None):
    return subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdin=stdin, stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.DEVNULL if not os.environ.get("LOUD") else None)


main()
