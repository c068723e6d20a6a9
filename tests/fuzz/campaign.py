"""A campaign: cases are sent by several senders at once, each answer is judged, and a normal batch is posted now and then.

A finding is an AssertionError that names the seed and the case; what only the server's counters tell names those in flight.
"""

from __future__ import annotations

import re
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio
from audit_events import event, event_list
from edge_kit import client_tls, parsed_frames
from hpack import Decoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import HeadersFrame, SettingsFrame

from fuzz.cases import PREFACE, TOKEN, Case, make_case
from fuzz.target import Target, open_files, target

__all__ = ["Report", "run_campaign"]

SENDERS = 24
QUIET_S = 0.03
"""After what was sent, a client waits so long for a first word before it says that nothing more will come."""
HANG_S = 15
"""After that the connection has to end within so many seconds, each waited for by itself: a machine that stood still for a while
has let one of them pass, not all."""
NORMAL_EVERY = 500
ACTORS_EVERY = 100
"""After so many cases the tree of actors is looked at; what the listeners count is after each."""
WARM = 120
"""Cases before tasks, files and memory are looked at for comparison."""
ALLOWED = {200, 400, 401, 404, 405, 408, 411, 413, 414, 421, 426, 429, 431, 501, 503, 505}
"""Anything else is a finding: 500 and 502 for one, and every redirect."""
UNAVAILABLE = 503
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Report:
    """What was sent and heard. `rss_kib`: growth of this process's memory from the warm state to the end."""

    seed: int
    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    normal: int = 0
    seconds: float = 0.0
    rss_kib: int = 0

    @property
    def count(self) -> int:
        """Cases in all."""
        return self.cases.total()


class Campaign:
    """One run against one target."""

    PROGRESS_EVERY = 5000
    """Cases between lines on stderr."""

    def __init__(self, server: Target, seed: int, goes_on: Callable[[int], bool]) -> None:
        self._server = server
        self._goes_on = goes_on
        self._next = 0
        self._in_flight: set[int] = set()
        self.report = Report(seed)
        self._tls = {name: client_tls(*alpn) for name, alpn in {"http1": (), "http2": ("h2",)}.items()}

    async def run(self) -> Report:
        """Until enough was sent."""
        await self._normal()
        while self._next < WARM and self._goes_on(self._next):
            if (kept := await self._send_next(None)) is not None:
                await kept.aclose()
        await self._server.left(10**6, 10**6)
        tasks, files, rss = self._server.tasks(), open_files(), _rss_kib()
        start = time.monotonic()
        async with trio.open_nursery() as nursery:
            for _ in range(SENDERS):
                nursery.start_soon(self._sender)
        await self._normal()
        self.report.seconds = time.monotonic() - start
        left = await self._server.left(tasks, files)
        assert not left, f"seed {self.report.seed}: left behind: {left}"
        self.report.rss_kib = _rss_kib() - rss
        return self.report

    async def _sender(self) -> None:
        """Cases in turn; bodies on one connection for as long as it lasts."""
        kept: trio.SocketStream | None = None
        while self._goes_on(self._next):
            kept = await self._send_next(kept)
        if kept is not None:
            await kept.aclose()

    async def _send_next(self, kept: trio.SocketStream | None) -> trio.SocketStream | None:
        number, self._next = self._next, self._next + 1
        if number and number % NORMAL_EVERY == 0:
            await self._normal()
        case = make_case(self.report.seed, number)
        self._in_flight.add(number)
        try:
            if case.kind == "body":
                kept = await self._body(case, kept)
            else:
                await self._connection(case)
            wrong = self._server.wrong(with_actors=number % ACTORS_EVERY == 0)
            assert not wrong, f"seed {self.report.seed}, one of the cases {sorted(self._in_flight)}: {wrong}"
        finally:
            self._in_flight.discard(number)
        self.report.cases[case.kind] += 1
        if self.report.count % self.PROGRESS_EVERY == 0:
            sys.stderr.write(f"{self.report.count} cases\n")
        return kept

    def _must(self, case: Case, is_so: bool, what: str) -> None:
        assert is_so, f"seed {self.report.seed}, case {case.number} ({case.kind}): {what}; sent {case.data[:2000]!r}"

    # --- sending ---

    async def _connection(self, case: Case) -> None:
        """Sends the case on a connection of its own, and judges what comes back until that ends."""
        port = self._server.ports["plaintext" if case.kind == "http1" else "tls"]
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        stream: trio.abc.Stream = tcp
        async with tcp:
            if case.kind in ("http2", "http1 over tls"):
                context = self._tls["http2" if case.kind == "http2" else "http1"]
                stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
            received, has_ended = b"", False
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_run_out, nursery.cancel_scope)
                received = await _exchange(stream, tcp, _with_preface(case))
                has_ended = True
                nursery.cancel_scope.cancel()
            self._must(case, has_ended, "the connection never ended")
        if case.kind == "http2":
            self._judge_frames(case, received)
        elif case.kind != "tls":
            self._judge([int(status) for status in STATUS.findall(received) if status != b"100"], case)

    async def _body(self, case: Case, kept: trio.SocketStream | None) -> trio.SocketStream:
        """A whole body with the right token is answered 200, whatever it holds; at the second time where a machine that stood
        still has used up the time of the first."""
        stream = kept or await trio.open_tcp_stream("127.0.0.1", self._server.ports["plaintext"])
        status = 0
        try:
            status = await _post(stream, case.data)
            if status == UNAVAILABLE:
                self.report.statuses[status] += 1
                status = await _post(stream, case.data)
        finally:
            if status != 200:
                await trio.aclose_forcefully(stream)
        self._must(case, status == 200, f"answered {status}")
        self.report.statuses[status] += 1
        return stream

    async def _normal(self) -> None:
        """A normal batch is answered as ever, over TLS."""
        tcp = await trio.open_tcp_stream("127.0.0.1", self._server.ports["tls"])
        async with trio.SSLStream(
            tcp, self._tls["http1"], server_hostname="localhost", https_compatible=True
        ) as stream:
            status = await _post(stream, event_list(event(auditID=f"normal-{self.report.normal}")))
        assert status == 200, f"seed {self.report.seed}: a normal batch was answered {status} before case {self._next}"
        self.report.normal += 1

    # --- judging ---

    def _judge(self, statuses: list[int], case: Case) -> None:
        self.report.statuses.update(statuses)
        self._must(case, ALLOWED.issuperset(statuses), f"answered {statuses}")

    def _judge_frames(self, case: Case, received: bytes) -> None:
        decoder, statuses = Decoder(), []
        decoder.max_allowed_table_size = 2**32  # what the case may have offered in its settings
        try:
            for frame in parsed_frames(received):
                if isinstance(frame, HeadersFrame):
                    statuses += [int(value) for name, value in decoder.decode(frame.data) if name == ":status"]
        except (HPACKError, HyperframeError, ValueError) as error:
            self._must(case, False, f"answered what cannot be read: {error!r}")
        self._judge([status for status in statuses if status != 100], case)


def _with_preface(case: Case) -> bytes:
    if case.kind != "http2" or case.data.startswith(b"PRI"):
        return case.data
    return PREFACE + SettingsFrame().serialize() + case.data


async def _exchange(stream: trio.abc.Stream, tcp: trio.SocketStream, data: bytes) -> bytes:
    """What comes back until the server ends the connection. Said nothing for a moment, the client ends its own side."""
    received = bytearray()
    try:
        await stream.send_all(data)
        with trio.move_on_after(QUIET_S):
            received += await stream.receive_some(65536)
        await tcp.send_eof()
        while part := await stream.receive_some(65536):
            received += part
    except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
        pass  # the server has heard enough
    return bytes(received)


async def _run_out(scope: trio.CancelScope) -> None:
    for _ in range(HANG_S):
        await trio.sleep(1.0)
    scope.cancel()


async def _post(stream: trio.abc.Stream, body: bytes) -> int:
    """The status of one batch; 0 where there was no answer."""
    head = f"POST /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run_out, nursery.cancel_scope)
        await stream.send_all(head.encode() + body)
        status = await _status(stream)
        nursery.cancel_scope.cancel()
        return status
    return 0


async def _status(stream: trio.abc.Stream) -> int:
    received = bytearray()
    while True:
        received += (part := await stream.receive_some(65536))
        head_end = received.find(b"\r\n\r\n")
        if head_end >= 0:
            length = re.search(rb"content-length: (\d+)", received[:head_end].lower())
            if length is not None and len(received) >= head_end + 4 + int(length[1]):
                return int(received[9:12])
        if not part:
            return 0


def _rss_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def run_campaign(seed: int, goes_on: Callable[[int], bool]) -> Report:
    """Sends cases for as long as `goes_on(number of the next)` says so. AssertionError: a finding, with its seed and case."""
    async with target() as server:
        return await Campaign(server, seed, goes_on).run()
