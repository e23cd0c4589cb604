#!/usr/bin/env python3
"""Makes the seeds and dictionaries of the fuzz targets anew: the protocol's examples, and what ffmpeg writes.

usage: seeds.py      needs ffmpeg and Pillow; its results are committed, so that fuzzing needs neither
"""
import io, pathlib, re, struct, subprocess

import PIL.Image

here = pathlib.Path(__file__).resolve().parent
seeds = here / "seeds"


def put(target, name, data):
    folder = seeds / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def ffmpeg(*arguments):
    command = ["ffmpeg", "-v", "error", *arguments, "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


# The examples of the protocol's description: lines of hex with text behind a bar, an empty or other line between two.
spec = (here / "../../src/wire/README.md").read_text()
messages, words = [], set()
for block in re.findall(r"^```text\n(.*?)^```", spec, re.S | re.M):
    message = b""
    for line in block.splitlines() + [""]:
        row = re.match(r"^((?:[0-9a-f]{2} ?)+) *(?:\||$)", line)
        if row:
            message += bytes.fromhex(row.group(1))
        elif message:
            messages.append(message)
            message = b""
for number, message in enumerate(messages):
    put("deframe", f"{number:02}", message)
    if message[0] == 0 and message[4:5] == b"{":
        put("control", f"{number:02}", message[4:])
        words.update(re.findall(rb'"([a-z_]+)"', message[4:]))
put("deframe", "all", b"".join(messages))
lines = [f'"{word.decode()}"' for word in sorted(words)]
lines += [r'"\":\""', r'"{\"type\":\""', r'"\":["', r'"\":{\""', '"null"', '"true"', '"18446744073709551615"']
(seeds / "wire.dict").write_text("# made by seeds.py\n" + "\n".join(lines) + "\n")

picture = ["-f", "lavfi", "-i", "testsrc2=size=34x18:rate=10:duration=0.2"]
tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=0.05"]
for pixels in ("yuv420p", "yuv422p", "yuv444p", "gray", "yuvj420p"):
    put("y4m", pixels, ffmpeg(*picture, "-pix_fmt", pixels, "-f", "yuv4mpegpipe"))
put("mjpeg", "420", ffmpeg(*picture, "-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-f", "mjpeg"))
put("mjpeg", "444", ffmpeg(*picture, "-pix_fmt", "yuvj444p", "-c:v", "mjpeg", "-f", "mjpeg"))
put("mjpeg", "default_tables", ffmpeg(*picture, "-pix_fmt", "yuvj422p", "-c:v", "mjpeg", "-huffman", "default", "-f", "mjpeg"))
for coding, channels in (("pcm_s16le", 1), ("pcm_s24le", 2), ("pcm_s32le", 2), ("pcm_f32le", 2), ("pcm_u8", 1)):
    put("wav", f"{coding}_{channels}", ffmpeg(*tone, "-t", "0.01", "-ac", str(channels), "-c:a", coding, "-f", "wav"))
raw = ["-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-ac", "2", "-ar", "48000", "-f", "matroska"]
for coding in ("pcm_s16le", "pcm_f32le"):
    put("mkv", coding, ffmpeg(*picture, *tone, "-c:a", coding, *raw))
put("mkv", "picture", ffmpeg(*picture, "-an", *raw))
put("mkv", "live", ffmpeg(*picture, *tone, "-c:a", "pcm_f32le", *raw[:-2], "-live", "1", "-f", "matroska"))

# Headers and cells as other encoders make them, in the records of fuzz_targets/cells.rs.
HEADER, CELL, OURS, APPLY, WHOLE = range(5)


def record(kind, index=0, data=b""):
    return struct.pack(">BBH", kind, index, len(data)) + data


def cells(width, height, restart, **options):
    source = "testsrc2=size=128x96:rate=10:duration=0.1"
    raw = ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "rgb24", "-f", "rawvideo")
    picture = PIL.Image.frombytes("RGB", (128, 96), raw).crop((0, 0, width, height))
    file = io.BytesIO()
    picture.save(file, "JPEG", subsampling="4:2:0", restart_marker_blocks=restart, **options)
    jpeg = file.getvalue()
    scan = jpeg.index(b"\xff\xda")
    scan += 2 + struct.unpack(">H", jpeg[scan + 2 : scan + 4])[0]
    parts = re.split(rb"\xff[\xd0-\xd7]", jpeg[scan:-2])
    head = bytes((width - 16, height - 16, restart))
    return head, jpeg[:scan], parts, jpeg


for number, (width, height, restart, options) in enumerate((
    (64, 48, 2, {"quality": 75}),
    (64, 48, 2, {"quality": 75, "optimize": True}),
    (33, 47, 3, {"quality": 95}),
    (96, 64, 3, {"quality": 20, "optimize": True}),
    (16, 16, 1, {"quality": 100}),
)):
    head, header, parts, jpeg = cells(width, height, restart, **options)
    listed = [record(CELL, index, part) for index, part in enumerate(parts)]
    put("cells", f"{number}_all", head + record(HEADER, 0, header) + b"".join(listed))
    one_by_one = b"".join(cell + record(APPLY) for cell in listed)
    put("cells", f"{number}_each", head + record(HEADER, 0, header) + one_by_one)
    put("cells", f"{number}_whole", head + record(WHOLE, 0, jpeg))
    put("turbo", f"{number}", jpeg)
    put("cells", f"{number}_ours", head[:2] + b"\0" + b"".join(record(OURS, n) for n in range(8)) + record(APPLY) + listed[0])
    # As fuzz_targets/cell.rs reads them: usual tables, small steps.
    if not options.get("optimize"):
        put("cell", f"{number}", bytes((restart - 1, 1 << 2 | 2)) + parts[0])

# Tables of its own for each class and component: symbols 0 and 1, 0x11 and 2.
put("cell", "tables", bytes((1, 5)) + bytes((0, 2, 0, 1, 1, 1, 0x11, 2)) * 4 + b"\x55\xaa\x0f\xf0" * 8)
# A code that is none, and behind it what would be too large a value.
put("cell", "unknown_code", bytes.fromhex("01057a007a7a7a00000000000000008001ff55ffffff557affff"))

# Kinds of JPEG that only the library's own decoder reads.
for name, options in (
    ("progressive", {"progressive": True}),
    ("grey", {"grey": True}),
    ("444", {"subsampling": "4:4:4"}),
    ("cmyk", {"cmyk": True}),
):
    picture = PIL.Image.linear_gradient("L").resize((40, 24))
    mode = "CMYK" if options.pop("cmyk", False) else "L" if options.pop("grey", False) else "RGB"
    file = io.BytesIO()
    picture.convert(mode).save(file, "JPEG", quality=60, **options)
    put("turbo", name, file.getvalue())

for number, link in enumerate((
    "https://192.0.2.7/live#k=" + "A" * 43,
    "https://[2001:db8::7]:8443/cam-1#k=" + "A" * 43 + "&t=secret",
    "https://example.org/",
)):
    put("link", f"{number}", link.encode())

# Answers of proxies, behind the way in which they are asked (bit 0: with a password, bit 1: SOCKS) and the length of the
# pieces in which they come.
second = "TlRMTVNTUAACAAAAAAAAADAAAAAHggAAAQIDBAUGBwgAAAAAAAAAAA=="
asked = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: {}\r\n{}\r\n"
granted = "HTTP/1.1 200 Connection established\r\n\r\nhello"
page = "HTTP/1.1 403 Forbidden\r\nContent-Length: 30\r\n\r\n<title>Blocked by rule</title>"
chunked = "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n"
digest = 'Digest realm="a", nonce="b", qop="auth", algorithm=SHA-256, Basic realm="c"'
for name, way, answers in (
    ("granted", 0, granted),
    ("old", 0, "HTTP/1.0 200 OK\nVia: x\n\n"),
    ("page", 0, page),
    ("asks", 0, asked.format('Basic realm="x"', "")),
    ("basic", 1, asked.format('Basic realm="x"', "Content-Length: 0\r\n") + granted),
    ("digest", 1, asked.format(digest, chunked) + granted),
    ("stale", 1, (asked.format(digest + ", stale=true", chunked)) * 2 + granted),
    ("ntlm", 1, asked.format("NTLM", chunked) + asked.format("NTLM " + second, "Content-Length: 3\r\n") + "abc" + granted),
    ("negotiate", 1, asked.format("Negotiate, NTLM", chunked) * 2 + asked.format("NTLM " + second, chunked) + granted),
):
    put("proxy", name, bytes([way, 7]) + answers.encode())
put("proxy", "socks", b"\x02\x03\x05\x00\x05\x00\x00\x01" + bytes(6) + b"hello")
put("proxy", "socks_password", b"\x03\x03\x05\x02\x01\x00\x05\x00\x00\x03\x03cam\x01\xbbhello")
upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {}\r\n"
accepted = upgraded.format("websocket") + "Sec-WebSocket-Accept: s3pPL=\r\nSec-WebSocket-Protocol: tunnelcast\r\n\r\n"
for name, text in (
    ("stream", "\0t=AAAAAAAAAAAAAAAAAAAAAA"), ("piece", "\0t=AAAAAAAAAAAAAAAAAAAAAA&g=1"), ("up", "\0t=AAAAAAAAAAAAAAAAAAAAAA&n=17"),
    ("tunnel", "\1\7" + upgraded.format("tunnelcast") + "\r\nmore"), ("websocket", "\2\1" + accepted + "more"),
    ("page", "\1\x20HTTP/1.0 403 No\nServer: x\n\n<html><title>Blocked by X</title>"),
    ("forwarded", "\x03192.0.2.7, 10.0.0.1:80\n[2001:db8::1]:443, ::1"), ("word", "\4_-8"),
):
    put("http", name, text.encode())
lines = ["t=AAAAAAAAAAAAAAAAAAAAAA", "&g=", "&n=", "HTTP/1.1 101 ", "HTTP/1.0 200 OK\\x0d\\x0a", "\\x0d\\x0a\\x0d\\x0a", "Upgrade: tunnelcast", "<title>", "</title>"]
(seeds / "http.dict").write_text("# made by seeds.py\n" + "\n".join(f'"{line}"' for line in lines) + "\n")
words = ["HTTP/1.1 407 Who?\\x0d\\x0a", "HTTP/1.0 200 OK\\x0d\\x0a", "\\x0d\\x0a\\x0d\\x0a", "Proxy-Authenticate: ", "Proxy-Connection: ", "Connection: "]
words += ["keep-alive", "close", "Content-Length: ", "Transfer-Encoding: chunked\\x0d\\x0a", "Negotiate ", "NTLM ", "Digest ", "Basic "]
words += ['realm=\\"', 'nonce=\\"', 'qop=\\"auth\\"', "algorithm=SHA-256-sess", "stale=true", "<title>", "</title>", second]
(seeds / "proxy.dict").write_text("# made by seeds.py\n" + "\n".join(f'"{word}"' for word in words) + "\n")
