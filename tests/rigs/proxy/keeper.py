#!/usr/bin/env python3
"""A box that ends TLS, opens another to the server, and writes down all that it could read in between, both ways.

usage: keeper.py ADDRESS PORT CERTIFICATE SERVER PORT RECORD [KEEP [UPGRADE]]
CERTIFICATE is a PEM file with the key in it. Of an answer to a GET that has no number in its query it passes KEEP bytes on,
head and all, and takes the rest without passing it on (0: everything is passed on). Without the word UPGRADE it takes
requests to upgrade out, as squid does.
"""
import re, select, socket, ssl, sys, threading

address, port, certificate, server, server_port, record = sys.argv[1:7]
keep = int(sys.argv[7]) if len(sys.argv) > 7 else 0
upgrades = "UPGRADE" in sys.argv[8:]
inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
inner.load_cert_chain(certificate)
inner.set_alpn_protocols(["http/1.1"])
outer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
outer.check_hostname = False
outer.verify_mode = ssl.CERT_NONE
outer.set_alpn_protocols(["http/1.1"])
book, write = open(record, "wb"), threading.Lock()


def note(data):
    with write:
        book.write(data)
        book.flush()


class Pair:
    """Two TLS sessions, and what goes from one to the other."""

    def __init__(self, viewer):
        self.viewer = inner.wrap_socket(viewer, server_side=True)
        plain = socket.create_connection((server, int(server_port)))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server = outer.wrap_socket(plain)
        self.long, self.passed = False, 0

    def run(self):
        ends = {self.viewer: self.up, self.server: self.down}
        while True:
            ready = [end for end in ends if end.pending()] or select.select(list(ends), [], [])[0]
            for end in ready:
                end.setblocking(False)
                try:
                    data = end.recv(65536)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    continue
                finally:
                    end.setblocking(True)
                if not data:
                    return
                note(data)
                ends[end](data)

    def up(self, data):
        if re.match(rb"(GET|POST) ", data):
            line = data.split(b"\r\n", 1)[0]
            self.long = line.startswith(b"GET ") and b"?t=" in line and b"&g=" not in line
            if not upgrades:
                data = re.sub(rb"(?i)\r\n(upgrade|sec-websocket-[a-z]+|connection): [^\r]*", b"", data)
        self.server.sendall(data)

    def down(self, data):
        if keep and self.long:
            data = data[:max(0, keep - self.passed)]
            self.passed += len(data)
        if data:
            self.viewer.sendall(data)


def serve(viewer):
    viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        Pair(viewer).run()
    except (OSError, ValueError):
        pass
    viewer.close()


listener = socket.create_server((address, int(port)), backlog=64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
