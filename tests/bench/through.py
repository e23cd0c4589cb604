#!/usr/bin/env python3
"""How much squid that inspects TLS lets through for us, beside what it gives curl of nginx, in turn, several times: Mbit/s, and
what share ours is. Viewer, squid and server in three network namespaces, lines without delay.

usage: through.py [--seconds N] [--rounds N] [WAY...]      WAY: http, websocket (both if none is named)
Needs root, squid, nginx, curl, openssl, and the benchmark `through`, built (cargo bench --no-run --bench through), whose path
THROUGH says.
"""
import argparse, glob, json, os, statistics, subprocess, sys, tempfile, time

CLIENT, BOX, SERVER = (f"through{os.getpid()}-{side}" for side in ("client", "box", "server"))
HELPER = "/usr/lib/squid/security_file_certgen"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("ways", nargs="*", default=["http", "websocket"], metavar="WAY")
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    found = sorted(glob.glob("target/release/deps/through-*[0-9a-f]"), key=os.path.getmtime)
    program = os.environ.get("THROUGH", found[-1] if found else None)
    if program is None:
        sys.exit("through.py: not built: cargo bench --no-run --bench through")
    children = []
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        try:
            network()
            children += web(directory)
            children.append(squid(directory))
            children.append(start(SERVER, program, "serve", "10.78.2.2:443"))
            key = children[-1].stdout.readline().strip()
            time.sleep(1)
            print("| way | curl, Mbit/s | ours, Mbit/s | share |", "|---|---|---|---|", sep="\n", flush=True)
            for way in options.ways:
                measure(way, program, key, options)
        finally:
            for child in reversed(children):
                child.terminate()
            for child in reversed(children):
                child.wait()
            for name in (CLIENT, BOX, SERVER):
                subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def measure(way, program, key, options):
    theirs, ours = [], []
    for _ in range(options.rounds):
        theirs.append(curl(options.seconds))
        fetched = start(CLIENT, program, "fetch", "10.78.2.2", "443", key, way, "http://10.78.1.1:3128", str(options.seconds))
        said = fetched.communicate()[0].split()
        if fetched.returncode:
            sys.exit(f"through.py: {way} does not get through")
        ours.append(float(said[-1]))
    shares = [our / their for our, their in zip(ours, theirs)]
    words = [" / ".join(f"{rate:.0f}" for rate in rates) for rates in (theirs, ours)]
    print(f"| {way} | {words[0]} | {words[1]} | {statistics.median(shares):.2f} |", flush=True)


def curl(seconds):
    """It gives up after so long, and says how much came."""
    done = start(CLIENT, "curl", "-ks", "-o", "/dev/null", "-x", "http://10.78.1.1:3128", "--max-time", str(seconds), "-w",
                 "%{json}", "https://10.78.2.2:8443/zeros").communicate()[0]
    said = json.loads(done)
    return said["size_download"] * 8e-6 / (said["time_total"] - said["time_starttransfer"])


def network():
    for name in (CLIENT, BOX, SERVER):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    for near, net, far in ((CLIENT, "10.78.1", "inner"), (SERVER, "10.78.2", "outer")):
        run("ip", "link", "add", "net", "netns", near, "type", "veth", "peer", "name", far, "netns", BOX)
        for name, device, address in ((near, "net", net + ".2/24"), (BOX, far, net + ".1/24")):
            run("ip", "-n", name, "addr", "add", address, "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")


def web(directory):
    """nginx, and a file that takes no room."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=10.78.2.2",
        "-keyout", f"{directory}/web.key", "-out", f"{directory}/web.crt", "-days", "2")
    os.mkdir(f"{directory}/web")
    with open(f"{directory}/web/zeros", "wb") as file:
        file.truncate(1 << 36)
    temporary = " ".join(f"{what}_temp_path {directory}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(f"{directory}/nginx.conf", "w") as file:
        file.write(f"daemon off; user root; error_log stderr; pid {directory}/nginx.pid; events {{ }}\n"
                   f"http {{ access_log off; {temporary} server {{ listen 10.78.2.2:8443 ssl; root {directory}/web;\n"
                   f"ssl_certificate {directory}/web.crt; ssl_certificate_key {directory}/web.key; }} }}\n")
    return [start(SERVER, "nginx", "-e", "stderr", "-c", f"{directory}/nginx.conf")]


def squid(directory, where=BOX, lines="http_upgrade_request_protocols websocket allow all"):
    """As it comes, but that it takes any server's certificate, and what the lines say."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Office",
        "-keyout", f"{directory}/office.key", "-out", f"{directory}/office.crt", "-days", "2", "-addext",
        "keyUsage=keyCertSign,cRLSign")
    run("sh", "-c", f"cat {directory}/office.crt {directory}/office.key >{directory}/office.pem; mkdir {directory}/squid; "
        f"{HELPER} -c -s {directory}/ssl_db -M 4MB; chown -R proxy:proxy {directory}/ssl_db {directory}/squid")
    with open(f"{directory}/squid.conf", "w") as file:
        file.write(f"http_port 3128 ssl-bump tls-cert={directory}/office.pem generate-host-certificates=on\n"
                   f"sslcrtd_program {HELPER} -s {directory}/ssl_db -M 4MB\n{lines}\nssl_bump bump all\nsslproxy_cert_error allow all\n"
                   f"http_access allow all\nvisible_hostname box.example\n"
                   f"pid_filename {directory}/squid/pid\naccess_log none\ncache_log {directory}/squid/log\ncache deny all\n"
                   "pinger_enable off\nnetdb_filename none\nshutdown_lifetime 0 seconds\ncoredump_dir none\n")
    return start(where, "squid", "-N", "-n", f"through{os.getpid()}", "-f", f"{directory}/squid.conf")


def start(where, *command):
    return subprocess.Popen(["ip", "netns", "exec", where, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
