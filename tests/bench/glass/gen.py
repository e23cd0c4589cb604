#!/usr/bin/env python3
"""Writes a real photograph, panned, as YUV4MPEG2 on stdout in real time; each frame bears the time it left.

usage: gen.py WIDTH HEIGHT FPS SECONDS [raw]
"""
import os, sys, time
import numpy as np
from PIL import Image
import stamp

w, h, fps, secs = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
raw = len(sys.argv) > 5


def photograph():
    """scikit-image's wheel holds one; without it, noise of every scale, which costs a coder about as much."""
    try:
        import skimage
        return Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", "motorcycle_left.png")).convert("YCbCr")
    except (ImportError, OSError):
        random = np.random.default_rng(1)
        sum_ = np.zeros((720, 1280, 3))
        for cell in (4, 8, 16, 32, 64, 128, 256):
            part = random.normal(0, cell ** 0.6, (720 // cell + 2, 1280 // cell + 2, 3))
            parts = [Image.fromarray(part[..., i].astype(np.float32)).resize((1280, 720), Image.BICUBIC) for i in range(3)]
            sum_ += np.stack([np.asarray(p) for p in parts], axis=2)
        sum_ = 128 + 45 * sum_ / sum_.std() * (1, 0.4, 0.4)
        return Image.fromarray(np.clip(sum_, 0, 255).astype(np.uint8), "YCbCr")


pad = 128
photo = photograph().resize((w + pad, h + pad), Image.LANCZOS)
y, cb, cr = (np.asarray(c) for c in photo.split())
cb, cr = cb[::2, ::2], cr[::2, ::2]
out = sys.stdout.buffer.raw if hasattr(sys.stdout.buffer, "raw") else sys.stdout.buffer
try:
    import fcntl
    fcntl.fcntl(1, 1031, 1 << 20)  # F_SETPIPE_SZ: at most one frame waits in the pipe
except OSError:
    pass


def put(b):
    v = memoryview(b)
    while v:
        v = v[os.write(1, v):]


if not raw:
    put(b"YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420jpeg\n" % (w, h, fps))
buf = np.empty(w * h * 3 // 2, dtype=np.uint8)
luma = buf[: w * h].reshape(h, w)
cbv = buf[w * h: w * h * 5 // 4].reshape(h // 2, w // 2)
crv = buf[w * h * 5 // 4:].reshape(h // 2, w // 2)
t0 = time.monotonic()
n = 0
while n < secs * fps:
    due = t0 + n / fps
    now = time.monotonic()
    if due > now:
        time.sleep(due - now)
    elif now - due > 1 / fps:
        t0 += now - due  # nobody read for a while: go on from here, do not catch up in a burst
    dx, dy = 2 * abs((n % 64) - 32), 2 * abs((n // 2 % 64) - 32)
    luma[:] = y[dy:dy + h, dx:dx + w]
    cbv[:] = cb[dy // 2:dy // 2 + h // 2, dx // 2:dx // 2 + w // 2]
    crv[:] = cr[dy // 2:dy // 2 + h // 2, dx // 2:dx // 2 + w // 2]
    stamp.paint(luma, time.monotonic_ns() // 1000)
    put((b"" if raw else b"FRAME\n") + buf.tobytes())
    n += 1
