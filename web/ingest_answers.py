"""The answers of the ingest endpoints, made once. Counterpart: web/ingest.py chooses among them."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from web.guard import RETRY_AFTER_S

__all__ = [
    "DRAINING",
    "FULL",
    "NOT_FOUND",
    "NOT_POST",
    "OVER_RATE",
    "STALE_CERTIFICATE",
    "TOO_LARGE",
    "TOO_SLOW",
    "UNAUTHORIZED",
    "UNAUTHORIZED_CLOSE",
    "UNAVAILABLE",
    "Answer",
    "Sender",
    "head_of",
]


class Sender(Struct, frozen=True):
    """Who sent a body, and where to. `credential`: the name of the token or certificate, for the log."""

    peer: str
    credential: str
    path: str


class Answer(Struct, frozen=True):
    """One answer; `body` is JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def head_of(answer: Answer) -> tuple[bytes, bytes]:
    """The answer in HTTP/1.1: its head without the date and the empty line, and its body."""
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    return b"HTTP/1.1 %d \r\n" % answer.status + b"".join(b"%s: %s\r\n" % field for field in fields), answer.body


_RETRY: Final = ((b"retry-after", str(RETRY_AFTER_S).encode()),)
_CLOSE: Final = ((b"connection", b"close"),)
_CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)


def _refusal(status: int, why: str, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, msgspec.json.encode({"error": why}), headers)


NOT_FOUND: Final = _refusal(404, "no such path")
NOT_POST: Final = _refusal(405, "only POST", (b"allow", b"POST"))
DRAINING: Final = _refusal(503, "stopping; send it again", *_RETRY)
FULL: Final = _refusal(503, "too many bodies in memory; send it again", *_RETRY)
UNAUTHORIZED: Final = _refusal(401, "no valid token", *_CHALLENGE)
UNAUTHORIZED_CLOSE: Final = _refusal(401, "no valid token, too often", *_CHALLENGE, *_CLOSE)
STALE_CERTIFICATE: Final = _refusal(503, "the certificate does not count any more; connect again", *_RETRY, *_CLOSE)
"""And not 401, which an API server takes as final for the batch: on a new connection it shows the certificate that it has now."""
OVER_RATE: Final = _refusal(429, "over the rate; send it again", *_RETRY)
TOO_LARGE: Final = _refusal(413, "the body is larger than this server takes")
TOO_SLOW: Final = _refusal(408, "the body did not arrive in time")
"""In HTTP/1.1 the connection closes after it, since the body was not read to its end; in HTTP/2 its stream ends."""
UNAVAILABLE: Final = _refusal(503, "not taken; send it again", *_RETRY)
