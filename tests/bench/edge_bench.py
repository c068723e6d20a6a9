"""The edge under abuse, while a normal sender posts: wrong tokens from its own address, slow connections, connections without end.

By their names alone: PROTECTOR_BENCH_EDGE=tokens, slow, connections or soak. Client and server share the machine: the worse case.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.measure import Cpu, Measure
from tests.bench.servers import Protector
from tests.bench.soak import rss_kib, soak
from tests.bench.world import cluster, filled, template

ACCOUNTS = 40
TOKENS_S = float(os.environ.get("PROTECTOR_BENCH_TOKENS_S", "60"))
TOKENS_PER_MINUTE = 20_000
ATTACKERS = 64
SLOW = int(os.environ.get("PROTECTOR_BENCH_SLOW", "1000"))
SLOW_S = float(os.environ.get("PROTECTOR_BENCH_SLOW_S", "30"))
CONNECTIONS = int(os.environ.get("PROTECTOR_BENCH_CONNECTIONS", "50000"))
BATCH_PAUSE_S = 0.1


class Sender:
    """A normal sender on one TLS connection, a thread of its own: a batch, its answer, a pause."""

    def __init__(self, server: Protector) -> None:
        self.server = server
        self.statuses: Counter[int] = Counter()
        self.taken_s: list[float] = []
        self._context = ssl.create_default_context(cafile=str(server.ca))
        self._template = template(ACCOUNTS)
        self._number = 0

    def post(self, sock: ssl.SSLSocket) -> None:
        """One batch."""
        self._number += 1
        body = filled(self._template, self._number)
        start = time.perf_counter()
        fields = f"Authorization: Bearer {self.server.token}\r\nContent-Length: {len(body)}\r\n"
        sock.sendall(f"POST /audit HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode() + body)
        self.statuses[int(answered(sock)[9:12] or 0)] += 1
        self.taken_s.append(time.perf_counter() - start)

    def run(self, over: threading.Event) -> None:
        """Until told to end; a connection that is lost counts as status 0."""
        while not over.is_set():
            try:
                with connect(self.server, self._context) as sock:
                    while not over.is_set():
                        self.post(sock)
                        over.wait(BATCH_PAUSE_S)
            except OSError:
                self.statuses[0] += 1

    @property
    def p99_s(self) -> float:
        """Of the answers so far."""
        return sorted(self.taken_s)[int(len(self.taken_s) * 0.99)]


def connect(server: Protector, context: ssl.SSLContext, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """A new TLS connection from an address of loopback."""
    tcp = socket.create_connection(("127.0.0.1", server.port), 30, (source, 0))
    return context.wrap_socket(tcp, server_hostname="localhost")


def answered(sock: ssl.SSLSocket) -> bytes:
    """The head of the answer, with the rest thrown away; empty where there was none."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    while len(body) < length and (part := sock.recv(65536)):
        body += part
    return head


def beside(sender: Sender, work: Callable[[], None]) -> None:
    """Does the work while the sender posts."""
    over = threading.Event()
    thread = threading.Thread(target=sender.run, args=(over,))  # noqa: TID251 - a client, not a part of the server
    thread.start()
    try:
        work()
    finally:
        over.set()
        thread.join()


# --- wrong tokens ----------------------------------------------------------------------------------------------------


def wrong_tokens(server: Protector, seconds: float) -> tuple[int, Counter[int]]:
    """How many wrong tokens were answered in that time at no more than the rate, and with what."""
    context = ssl.SSLContext(
        ssl.PROTOCOL_TLS_CLIENT
    )  # who guesses does not care whom it asks; and has to be cheap here
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    statuses: Counter[int] = Counter()
    start = time.monotonic()

    def attack(number: int) -> None:
        count = 0
        while (now := time.monotonic()) < start + seconds:
            due = start + count * ATTACKERS * 60 / TOKENS_PER_MINUTE
            if due > now:
                time.sleep(due - now)
            count += 1
            with contextlib.suppress(OSError), connect(server, context) as sock:
                sock.sendall(
                    b"POST /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: 2\r\n\r\n{}"
                )
                statuses[int(answered(sock)[9:12] or 0)] += 1

    threads = [threading.Thread(target=attack, args=(n,)) for n in range(ATTACKERS)]  # noqa: TID251 - clients
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses.total(), statuses


def tokens() -> Iterator[Measure]:
    """Wrong tokens from the sender's own address."""
    server = Protector(cluster(ACCOUNTS), store="memory", plaintext=False)
    try:
        sender = Sender(server)
        cpu = Cpu(server.process.pid)
        found: list[tuple[int, Counter[int]]] = []
        before = cpu.read()
        beside(sender, lambda: found.append(wrong_tokens(server, TOKENS_S)))
        spent_s = cpu.read() - before
    finally:
        server.stop()
    count, statuses = found[0]
    per_minute = count * 60 / TOKENS_S
    how = f"a new TLS 1.3 connection each, {ATTACKERS} threads, {TOKENS_S:g} s, from the sender's address; answered {dict(statuses)}"
    yield Measure(
        "edge.tokens.rate",
        per_minute,
        "1/min",
        how,
        must=f">= {0.98 * TOKENS_PER_MINUTE:g}",
        ok=per_minute >= 0.98 * TOKENS_PER_MINUTE,
    )
    yield Measure(
        "edge.tokens.cpu",
        spent_s / max(count, 1) * 1000,
        "ms CPU/wrong token",
        f"server, the sender's batches included; {how}",
    )
    lost = sum(n for status, n in sender.statuses.items() if status != 200)
    how = f"of {sender.statuses.total()} batches of 400 reads on one connection meanwhile, p99 {sender.p99_s * 1000:.0f} ms"
    yield Measure("edge.tokens.lost", lost, "batches", how, must="0", ok=lost == 0)


# --- slow connections ---------------------------------------------------------------------------------------------------


def open_slow(server: Protector, count: int) -> list[ssl.SSLSocket | socket.socket]:
    """Connections from many addresses that never come to an end: no handshake, half a head, half a body, answers unread."""
    context = ssl.create_default_context(cafile=str(server.ca))
    found: list[ssl.SSLSocket | socket.socket] = []
    for number in range(count):
        source = f"127.0.{number // 200 + 1}.1"
        if number % 4 == 0:
            found.append(socket.create_connection(("127.0.0.1", server.port), 30, (source, 0)))
            continue
        sock = connect(server, context, source)
        found.append(sock)
        head = b"POST /audit HTTP/1.1\r\nHost: x\r\n"
        token = f"Authorization: Bearer {server.token}\r\n".encode()
        if number % 4 == 1:
            sock.sendall(head)
        elif number % 4 == 2:
            sock.sendall(head + token + b"Content-Length: 100000\r\n\r\n{")
        else:
            sock.sendall((head + token + b"Content-Length: 2\r\n\r\n{}") * 20)
    return found


def drip(socks: list[ssl.SSLSocket | socket.socket]) -> None:
    """A byte more on each that is in the middle of something; what the server has closed is none of them any more."""
    for number, sock in enumerate(socks):
        if number % 4 in (1, 2):
            with contextlib.suppress(OSError):
                sock.sendall(b"x")


def slow() -> Iterator[Measure]:
    """A normal sender's p99 with and without them."""
    server = Protector(cluster(ACCOUNTS), store="memory", plaintext=False)
    socks: list[ssl.SSLSocket | socket.socket] = []
    try:
        alone, among = Sender(server), Sender(server)
        beside(alone, lambda: time.sleep(SLOW_S))
        socks += open_slow(server, SLOW - 10)

        def drip_on() -> None:
            until = time.monotonic() + SLOW_S
            while time.monotonic() < until:
                drip(socks)
                time.sleep(2.0)

        beside(among, drip_on)
    finally:
        for sock in socks:
            sock.close()
        server.stop()
    ratio = among.p99_s / alone.p99_s
    lost = sum(n for status, n in among.statuses.items() if status != 200)
    how = f"{len(socks)} connections (no handshake, half a head, half a body, answers unread), a byte each every 2 s, {SLOW_S:g} s; "
    how += f"a batch of 400 reads every {BATCH_PAUSE_S:g} s over TLS; p99 alone {alone.p99_s * 1000:.1f} ms; {lost} batches lost"
    yield Measure(
        "edge.slow.p99",
        among.p99_s * 1000,
        "ms",
        how,
        against="alone",
        ratio=ratio,
        must="<= 3",
        ok=ratio <= 3 and not lost,
    )


# --- connections without end ----------------------------------------------------------------------------------------------


def connections() -> Iterator[Measure]:
    """Connections in sequence, every tenth over TLS with a request; memory and files after the first tenth and at the end."""
    server = Protector(cluster(ACCOUNTS), store="memory", plaintext=False)
    context = ssl.create_default_context(cafile=str(server.ca))
    files = Path(f"/proc/{server.process.pid}/fd")
    try:
        marks: list[tuple[int, int]] = []
        for number in range(CONNECTIONS):
            if number in (CONNECTIONS // 10, CONNECTIONS // 2):
                marks.append((rss_kib(server.process.pid), len(list(files.iterdir()))))
            if number % 10:
                with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS: refused at once
                    sock.recv(100)
                continue
            with connect(server, context) as tls:
                tls.sendall(f"GET /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode())
                answered(tls)
        marks.append((rss_kib(server.process.pid), len(list(files.iterdir()))))
    finally:
        server.stop()
    grown = marks[-1][0] - marks[0][0]
    how = f"{CONNECTIONS} connections, one in ten over TLS with a request, the others no TLS; RSS after a tenth, a half and all: "
    how += ", ".join(f"{rss / 1024:.1f} MiB" for rss, _ in marks) + f"; files {[count for _, count in marks]}"
    yield Measure(
        "edge.connections.growth", grown, "KiB", how, must="< 4096", ok=grown < 4096 and marks[-1][1] <= marks[0][1] + 1
    )


def measures() -> Iterator[Measure]:
    """All of them, or the one that the environment names."""
    part = os.environ.get("PROTECTOR_BENCH_EDGE", "")
    for name, measure in {"tokens": tokens, "slow": slow, "connections": connections, "soak": soak}.items():
        if part in ("", name):
            yield from measure()
