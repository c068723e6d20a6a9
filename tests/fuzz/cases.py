"""The cases: what is sent on one connection, of five kinds. Each is made from the seed and its number, and from nothing else."""

from __future__ import annotations

import random
import ssl
from contextlib import suppress
from dataclasses import dataclass

from audit_events import event, event_list, watch
from forwarded_logs import CARRIERS, LOGS
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from fuzz.mutations import mutated, mutated_json

__all__ = ["KINDS", "TOKEN", "Case", "make_case"]

TOKEN = "fuzz-" + "t" * 27
KINDS = {"http1": 46, "body": 36, "http2": 10, "tls": 5, "http1 over tls": 3}
"""How many of a hundred cases are of this kind."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
AUTHORIZATION = f"Authorization: Bearer {TOKEN}\r\n".encode()


@dataclass(frozen=True)
class Case:
    """`data` is sent as it is; for the kind `body` it is a whole body, for `http2` it follows the preface unless it holds one."""

    number: int
    kind: str
    data: bytes


def make_case(seed: int, number: int) -> Case:
    """The case of this number."""
    chance = random.Random(f"{seed}/{number}")
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    make = {"http1": _http1, "body": _body, "http2": _http2, "tls": _tls, "http1 over tls": _http1}[kind]
    return Case(number, kind, make(chance))


# --- HTTP/1.1 ------------------------------------------------------------------------------------------------------------


def _request(chance: random.Random) -> bytes:
    body = event_list(event(auditID=f"fuzz-{chance.getrandbits(40)}"))
    method = chance.choice((b"POST", b"POST", b"POST", b"GET", b"PUT", b"OPTIONS", b"HEAD"))
    path = chance.choice((b"/audit?timeout=30s", b"/audit", b"/", b"/x", b"http://localhost/audit", b"*"))
    token = AUTHORIZATION if chance.random() < 0.7 else chance.choice((b"", b"Authorization: Bearer x\r\n"))
    head = b"%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: fuzz\r\n%s" % (method, path, token)
    if chance.random() < 0.3:
        cut = chance.randint(1, len(body))
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _http1(chance: random.Random) -> bytes:
    """One to three requests behind one another, at least one of them wrong."""
    parts = [_request(chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    at = chance.randrange(len(parts))
    head, _, rest = parts[at].partition(b"\r\n\r\n")
    where = chance.random()
    if where < 0.6:
        parts[at] = mutated(chance, head) + b"\r\n\r\n" + rest
    elif where < 0.8:
        parts[at] = head + b"\r\n\r\n" + mutated(chance, rest)
    else:
        parts[at] = mutated(chance, parts[at])
    return b"".join(parts)


# --- bodies ----------------------------------------------------------------------------------------------------------------


def _body(chance: random.Random) -> bytes:
    """A body that is sent whole, with the right token."""
    items = [
        chance.choice((event, watch))(auditID=f"fuzz-{chance.getrandbits(40)}") for _ in range(chance.randint(1, 4))
    ]
    document = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}
    choice = chance.random()
    if chance.random() < 0.25:
        log, carrier = chance.choice(list(LOGS.values())), chance.choice(list(CARRIERS.values()))
        records = log(items)
        return mutated_json(chance, records[0]) if choice < 0.3 else mutated(chance, carrier(records))
    if choice < 0.6:
        return mutated_json(chance, document)
    if choice < 0.9:
        return mutated(chance, event_list(*items))
    return mutated(chance, mutated_json(chance, document))


# --- HTTP/2 ----------------------------------------------------------------------------------------------------------------


def _http2(chance: random.Random) -> bytes:
    """Frames that make sense one by one, in an order that need not, then bytes of them changed in every other case."""
    encoder = Encoder()
    if chance.random() < 0.1:
        return mutated(chance, PREFACE + SettingsFrame().serialize())
    frames = b"".join(_frame(chance, encoder) for _ in range(chance.randint(1, 14)))
    return mutated(chance, frames) if chance.random() < 0.5 else frames


def _frame(chance: random.Random, encoder: Encoder) -> bytes:
    stream = chance.choice((0, 1, 1, 1, 3, 3, 5, 2, 7, 2**31 - 1))
    frame: Frame
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            frame = HeadersFrame(1, data=_header_block(chance, encoder))
            frame.flags |= {flag for flag in ("END_HEADERS", "END_STREAM") if chance.random() < 0.8}
        case 4 | 5:
            frame = DataFrame(1, data=chance.choice((b"", b"x", event_list(event()), b"y" * 16000)))
            frame.flags |= {flag for flag in ("END_STREAM",) if chance.random() < 0.5}
        case 6:
            settings = {chance.choice((1, 2, 3, 4, 5, 6, 8, 99)): chance.choice((0, 1, 65535, 2**31 - 1, 2**32 - 1))}
            frame = SettingsFrame(settings=settings)
        case 7:
            frame = WindowUpdateFrame(stream, window_increment=chance.choice((1, 65535, 2**31 - 1)))
        case 8:
            frame = RstStreamFrame(1, error_code=chance.randrange(20))
        case 9:
            frame = chance.choice((PingFrame(opaque_data=b"12345678"), GoAwayFrame(last_stream_id=0, error_code=0)))
        case 10:
            frame = ContinuationFrame(1, data=chance.randbytes(20))
        case _:
            frame = chance.choice(
                (
                    PriorityFrame(1, depends_on=chance.randrange(9), stream_weight=chance.randrange(256)),
                    PushPromiseFrame(1, promised_stream_id=2, data=b""),
                    ExtensionFrame(chance.randrange(11, 256), stream, flag_byte=chance.randrange(256), body=b"x" * 30),
                )
            )
    if isinstance(frame, SettingsFrame | PingFrame | GoAwayFrame) != (stream == 0) and chance.random() < 0.9:
        stream = 1 - min(stream, 1)  # mostly where such a frame belongs
    frame.stream_id = stream  # afterwards: hyperframe makes no frame that is on the wrong one
    return frame.serialize()


def _header_block(chance: random.Random, encoder: Encoder) -> bytes:
    headers = [
        (b":method", chance.choice((b"POST", b"POST", b"POST", b"GET", b"CONNECT", b"\xff"))),
        (b":path", chance.choice((b"/audit", b"/audit", b"/", b"*", b"", b"/\xff\xfe", b"x"))),
        (b":scheme", b"https"),
        (b":authority", chance.choice((b"localhost", b"\xff", b""))),
    ]
    if chance.random() < 0.7:
        headers.append((b"authorization", f"Bearer {TOKEN}".encode()))
    if chance.random() < 0.3:
        headers.append(
            chance.choice(
                (
                    (b"content-length", b"5"),
                    (b"content-length", b"x"),
                    (b"Upper", b"case"),
                    (b"connection", b"upgrade"),
                    (b":protocol", b"websocket"),
                    (b"te", b"gzip"),
                    (b"x", b"a" * 5000),
                    (b"x\x00", b"\r\n"),
                )
            )
        )
    if chance.random() < 0.2:
        chance.shuffle(headers)
    block: bytes = encoder.encode(headers)
    return mutated(chance, block) if chance.random() < 0.1 else block


# --- TLS ---------------------------------------------------------------------------------------------------------------------


def _tls(chance: random.Random) -> bytes:
    """What a client says first, wrong; or records of a made-up kind and length."""
    if chance.random() < 0.2:
        kind, length = chance.choice((20, 21, 22, 23, 24, 0x80)), chance.choice((0, 1, 2**14, 2**14 + 300, 2**16 - 1))
        return bytes((kind, 3, chance.randrange(5))) + length.to_bytes(2, "big") + chance.randbytes(min(length, 300))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return mutated(chance, outgoing.read())  # its random bytes differ from run to run: OpenSSL draws them
