#!/usr/bin/env python3
"""Who makes the smaller pictures of a published stream, and what that costs: a real publisher behind an emulated uplink, a relay,
and two viewers beside it, one of everything and one of THIN Mbit/s. Prints, for each rate of the uplink, with levels sent when there
is room for them and with none ever, what the publisher sent and for how long, how old the pictures of both viewers were, what
went up, and what the relay's processor did.

usage: uplink.py [--seconds N] [--rtt MS] [--thin MBIT] [--transport tls|quic|auto] [--video SRC] [--tcp reno|cubic|bbr] [MBIT...]
MBIT: rates of the uplink (8 12 20). The first ten seconds count for nothing.
Needs root, iproute2, /dev/net/tun, and the emulator `linkem.py`, whose path LINKEM says; TUNNELCAST is the program.
"""
import argparse, json, os, signal, subprocess, sys, tempfile, threading, time

NEAR, FAR = os.environ.get("LINKEM_NAMES", "tc_cli tc_srv").split()
ADDRESS = os.environ.get("LINKEM_SERVER", "10.77.9.2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rtt", type=int, default=40)
    parser.add_argument("--thin", default="1.5")
    parser.add_argument("--transport", default="tls")
    parser.add_argument("--video", default="testcard:1280x720@25")
    parser.add_argument("--tcp", default="reno")
    parser.add_argument("rates", nargs="*", type=float, default=[8, 12, 20], metavar="MBIT")
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    emulator = os.environ.get("LINKEM", "../shared/lab/link/linkem.py")
    program = os.environ.get("TUNNELCAST", "target/release/tunnelcast")
    for need in (emulator, program):
        if not os.path.exists(need):
            sys.exit(f"uplink.py: {need} is missing")
    print("| uplink Mbit/s | levels | sent beside the best, share of the time | best picture: delay p50 / p95 ms, pictures/s | thin viewer: "
          "the same | went up Mbit/s | relay's CPU, % of a core |", "|" + "---|" * 7, sep="\n", flush=True)
    for rate in options.rates:
        for levels in ("auto", "never"):
            run(rate, levels, options, emulator, program)


def run(rate, levels, options, emulator, program):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "line.json")
        with open(path, "w") as file:
            json.dump({"delay_ms": options.rtt / 2, "rate_mbit": rate, "queue_ms": 300}, file)
        line = subprocess.Popen([sys.executable, emulator, "--set", path], stdout=subprocess.PIPE)
        line.stdout.readline()
        children = [line]
        try:
            subprocess.run(["ip", "netns", "exec", NEAR, "sysctl", "-q", f"net.ipv4.tcp_congestion_control={options.tcp}"], check=True)
            relay = start(FAR, program, "serve", "--listen", f"{ADDRESS}:8443", "--host", ADDRESS, "--video", "none", "--audio",
                          "none", "--certs", os.path.join(directory, "certs"), "--state", os.path.join(directory, "state"), "--json")
            children.append(relay)
            links = json.loads(relay.stdout.readline())
            publisher = start(NEAR, program, "publish", links["publish_link"], "--name", "cam", "--video", options.video, "--transport",
                              options.transport, "--levels", levels, "--json")
            children.append(publisher)
            told = follow(publisher)
            until(lambda: any(event["event"] == "connected" for _, event in told))
            address = links["link"].replace("/#", "/cam#")
            best = watch(program, address, options)
            thin = watch(program, address, options, "--max-bitrate", f"{options.thin}M")
            children += [best, thin]
            seen = [follow(best), follow(thin)]
            time.sleep(10)
            before, began = (spent(relay), carried(NEAR)), time.monotonic()
            time.sleep(options.seconds - 10)
            after, ended = (spent(relay), carried(NEAR)), time.monotonic()
        finally:
            for child in reversed(children):
                child.send_signal(signal.SIGINT)
            for child in reversed(children):
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
    passed = ended - began
    print("| {:g} | {} | {} | {} | {} | {:.1f} | {:.0f} |".format(
        rate, levels, shares(told, began, ended), *(picture(events, began) for events in seen),
        (after[1] - before[1]) * 8 / passed / 1e6, (after[0] - before[0]) * 100 / passed), flush=True)


def shares(told, began, ended):
    """Of that time each level was sent for so much of it."""
    shares, since, sent = {}, began, []
    for at, event in told + [(ended, {"event": "levels", "sent": []})]:
        if event["event"] == "levels":
            for level in sent:
                shares[level] = shares.get(level, 0) + max(0, min(at, ended) - max(since, began))
            since, sent = at, event["sent"]
    return ", ".join(f"{level} {share * 100 / (ended - began):.0f} %" for level, share in shares.items()) or "none"


def picture(events, began):
    seconds = [event for at, event in events if event["event"] == "stats" and at > began]
    if not seconds:
        return "nothing"
    middle = lambda values: sorted(values)[len(values) // 2]
    known = [event["latency_ms"] for event in seconds if event["latency_ms"]["p50"] is not None]
    if not known:
        return "nothing"
    return "{:.0f} / {:.0f}, {:.1f}".format(middle([delay["p50"] for delay in known]), sorted(delay["p95"] for delay in known)[len(known) * 95 // 100],
                                       sum(event["frames_shown"] for event in seconds) / len(seconds))


def watch(program, address, options, *more):
    return start(FAR, program, "watch", address, "--headless", "--json", "--duration", f"{options.seconds + 5}s", "--transport", "tls", *more)


def start(namespace, *command):
    return subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def follow(child):
    """What it says, each with its time."""
    events = []

    def read():
        for text in child.stdout:
            events.append((time.monotonic(), json.loads(text)))

    threading.Thread(target=read, daemon=True).start()
    return events


def until(done):
    ends = time.monotonic() + 20
    while not done():
        if time.monotonic() > ends:
            sys.exit("uplink.py: the publisher does not connect")
        time.sleep(0.05)


def spent(process):
    """Seconds of a processor."""
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def carried(namespace):
    """Bytes that have left it."""
    text = subprocess.run(["ip", "netns", "exec", namespace, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    line = next(line for line in text.splitlines() if line.strip().startswith("line:"))
    return int(line.split(":", 1)[1].split()[8])


if __name__ == "__main__":
    main()
