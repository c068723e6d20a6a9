"""Bytes and JSON values made wrong. Pure: everything is drawn from the given generator."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import Any

__all__ = ["mutated", "mutated_json", "odd_value"]

TOKENS = (
    b"\r\n", b"\r\n\r\n", b"\x00", b"\xff\xfe", b" ", b"\t", b":", b",", b"%00", b"%ff", b"/../", b"//", b"?", b"#",
    b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Length: 0\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Host: x\r\n",
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n", b"Content-Encoding: gzip\r\n",
    b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"1;x=y\r\nz\r\n", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"A" * 300, b"9" * 400,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n", b"CONNECT x:1 HTTP/1.1\r\n", b"[" * 2000, b'{"a":' * 500,
)  # fmt: skip
"""Pieces that mean something to somebody on the way."""
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**400, 1e308, "", "\x00", "\ud800", "a" * 5000, [], {}, [[]] * 50, {"": {}},
    "system:serviceaccount:", "system:serviceaccount:a:b:c", "9999-12-31T23:59:60Z", "-0001-01-01T00:00:00Z", "../../x",
)  # fmt: skip
"""Values of the wrong type, size or meaning."""


def mutated(chance: random.Random, data: bytes, *, steps_max: int = 6) -> bytes:
    """The bytes after one to `steps_max` changes, each at a random place."""
    found = bytearray(data)
    for _ in range(chance.randint(1, steps_max)):
        at = chance.randint(0, len(found))
        span = slice(at, at + min(len(found) - at, int(chance.expovariate(1 / 16)) + 1))
        match chance.randrange(8):
            case 0 if span.start < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at:at] = chance.randbytes(chance.randint(1, 12))
            case 2:
                del found[span]
            case 3:
                found[at:at] = found[span] * chance.randint(1, 20)
            case 4:
                found[span] = chance.randbytes(span.stop - span.start)
            case 5:
                del found[at:]
            case _:
                found[at:at] = chance.choice(TOKENS)
    return bytes(found)


def odd_value(chance: random.Random) -> Any:
    """A value that nobody expects."""
    return deepcopy(chance.choice(ODD))


def mutated_json(chance: random.Random, document: Any) -> bytes:
    """The document with some of its values replaced, taken out, repeated or nested; as JSON, of a kind."""
    copy = json.loads(json.dumps(document))
    for _ in range(chance.randint(1, 4)):
        _change(chance, copy)
    return json.dumps(copy, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _change(chance: random.Random, document: Any) -> None:
    """Walks down at random and changes something there."""
    node = document
    while True:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.8:
            node = node[key]
            continue
        match chance.randrange(5):
            case 0:
                del node[key]
            case 1 if isinstance(node, dict):
                node[str(key) + chance.choice(("", "\x00", "X", "é"))] = node[key]
            case 2:
                node[key] = [node[key]] * chance.randint(0, 3)
            case _:
                node[key] = odd_value(chance)
        return
