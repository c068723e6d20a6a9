"""Small pieces of ASGI: answering without a framework, reading a bounded body, headers and cookies; what every answer carries.

Counterpart: web/gate.py, which puts them together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import trio

__all__ = [
    "SECURITY_HEADERS",
    "App",
    "Receive",
    "Scope",
    "Send",
    "answer",
    "cookie_of",
    "dressed",
    "headers_of",
    "read_body",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


def dressed(send: Send, *, cacheable: bool, with_body: bool) -> Send:
    """The send with our headers on every answer, and without a body where the method is HEAD."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in SECURITY_HEADERS} | (set() if cacheable else {b"cache-control"})
            headers = [(name, value) for name, value in message.get("headers", []) if name.lower() not in ours]
            headers += SECURITY_HEADERS
            if not cacheable:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        elif not with_body and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return guarded


async def answer(send: Send, receive: Receive, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Answers, and throws away what of the body comes meanwhile: a server whose queue is full could not send otherwise."""
    if all(name != b"content-type" for name, _ in headers):
        headers = (*headers, (b"content-type", b"text/plain; charset=utf-8"))
    length = (b"content-length", b"%d" % len(body))

    async def discard() -> None:
        while (await receive())["type"] == "http.request":
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(discard)
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        nursery.cancel_scope.cancel()


async def read_body(receive: Receive, max_bytes: int) -> bytes | None:
    """The whole body, or None if it is larger than `max_bytes` or the client left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > max_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def headers_of(scope: Scope, name: bytes) -> list[bytes]:
    """The values of this header, in order."""
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in pairs if key.lower() == name]


def cookie_of(scope: Scope, name: str) -> str | None:
    """The first cookie of this name that has a value."""
    for header in headers_of(scope, b"cookie"):
        for part in header.decode("latin-1").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name and value:
                return value
    return None
