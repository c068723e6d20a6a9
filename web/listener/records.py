"""What more of a TLS stream is there already, without waiting for it.

A TLS record holds at most 16 KiB, and trio.SSLStream hands out one for each receive_some, with a turn of the whole loop in between:
some thirty turns for one batch, which cost more than decrypting it. Counterpart: web/listener/connection.py.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

import trio

__all__ = ["drained", "released"]

RECORD_BYTES: Final = 16 * 1024
"""The largest TLS record (RFC 8446, 5.1)."""


def drained(stream: trio.SSLStream[Any], first: bytes | bytearray, limit: int) -> bytes | bytearray:
    """`first`, which was just received, with the records that have come in whole behind it; in all hardly more than `limit` bytes.

    What is wrong with a later record, and the end of the stream, is found by the next receive_some, whose business it is.
    `_ssl_object` is Trio's own name; where it is another, each record costs its turn again and nothing else happens.
    """
    tls = getattr(stream, "_ssl_object", None)
    if not isinstance(tls, ssl.SSLObject) or len(first) < RECORD_BYTES:
        return first
    parts: list[bytes | bytearray] = [first]
    size = len(first)
    while size < limit:
        try:
            more = tls.read(RECORD_BYTES)
        except ssl.SSLError:
            break
        if not more:
            break
        parts.append(more)
        size += len(more)
    return b"".join(parts)


def released(stream: trio.SSLStream[Any]) -> None:
    """Gives the memory of a closed TLS stream back now; nobody may use the stream any more.

    Trio's stream is part of a cycle (what does its handshake once holds a method of it), and what hangs on it are tens of KiB that
    the garbage collector does not see: many short connections would grow the process long before it looks.
    """
    vars(stream).clear()
