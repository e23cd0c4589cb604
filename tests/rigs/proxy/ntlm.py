#!/usr/bin/env python3
"""squid's helper for NTLM that knows one user's password and looks at the proof (NTLMv2): `ntlm_fake_auth` believes all.

usage: ntlm.py USER PASSWORD      then one line from squid a step: YR [FIRST], KK LAST; see squid's helper protocol
"""
import base64, hmac, os, struct, sys, time


def md4(data):
    """RFC 1320, which new OpenSSLs no longer have."""
    rotate = lambda value, by: (value << by | value >> 32 - by) & 0xFFFFFFFF
    rounds = (
        (lambda x, y, z: x & y | ~x & z, 0, (3, 7, 11, 19), range(16)),
        (lambda x, y, z: x & y | x & z | y & z, 0x5A827999, (3, 5, 9, 13), (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
        (lambda x, y, z: x ^ y ^ z, 0x6ED9EBA1, (3, 9, 11, 15), (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)),
    )
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + b"\0" * ((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    for block in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[block:block + 64])
        a, b, c, d = state
        for mix, constant, shifts, order in rounds:
            for step, at in enumerate(order):
                a = rotate((a + mix(b, c, d) + words[at] + constant) & 0xFFFFFFFF, shifts[step % 4])
                a, b, c, d = d, a, b, c
        state = [(old + new) & 0xFFFFFFFF for old, new in zip(state, (a, b, c, d))]
    return struct.pack("<4I", *state)


def md5_of(key, data):
    return hmac.new(key, data, "md5").digest()


def challenge(secret):
    """Type 2: Unicode, a domain's answer with the time in it, as Windows gives it."""
    flags = 0xA0898205
    domain, host = "OFFICE".encode("utf-16le"), "BOX".encode("utf-16le")
    now = struct.pack("<Q", int((time.time() + 11644473600) * 10_000_000))
    pairs = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in
                     ((2, domain), (1, host), (4, domain), (3, host), (7, now), (0, b"")))
    at = 56
    return (b"NTLMSSP\0" + struct.pack("<IHHII", 2, len(domain), len(domain), at, flags) + secret + bytes(8)
            + struct.pack("<HHI", len(pairs), len(pairs), at + len(domain)) + bytes((10, 0, 0, 0, 0, 0, 0, 15)) + domain + pairs)


def proven(message, secret, user, password):
    """The user's name in a Type 3 message, if its proof is right."""
    def field(at):
        length, _, start = struct.unpack_from("<HHI", message, at)
        return message[start:start + length]
    if message[:12] != b"NTLMSSP\0\x03\0\0\0":
        raise ValueError("no Type 3 message")
    response, domain, name = field(20), field(28), field(36).decode("utf-16le")
    key = md5_of(md4(password.encode("utf-16le")), (name.upper()).encode("utf-16le") + domain)
    right = hmac.compare_digest(md5_of(key, secret + response[16:]), response[:16])
    return name if right and len(response) > 24 and name.lower() == user.lower() else None


def main():
    _, user, password = sys.argv
    assert md4(b"abc").hex() == "a448017aaf21d8525fc10ae87aa6729d"
    secret = None
    for line in sys.stdin:
        step, _, blob = line.strip().partition(" ")
        try:
            if step == "YR":
                secret = os.urandom(8)
                answer = "TT " + base64.b64encode(challenge(secret)).decode()
            elif step == "KK" and secret:
                name = proven(base64.b64decode(blob), secret, user, password)
                answer = f"AF {name}" if name else "NA the password is wrong"
                secret = None
            else:
                answer = "BH out of turn"
        except Exception as error:
            answer = f"NA {error}"
        print(answer, flush=True)


main()
