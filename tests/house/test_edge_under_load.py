"""The edge while senders post: stopped in the middle, and its certificate, CA and tokens changed. No batch may be lost by it."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import trio
from edge_kit import post, response, served
from serve_process import ServeProcess, until
from small_cluster import Acts, batch, small_cluster
from trio_run import run

from actors.messages import BatchAnswer, ParsedBatch
from web.credentials import Tokens
from web.guard import Guard
from web.ingest import make_audit_app
from web.tls import ServerTls

pytestmark = pytest.mark.slow

CLUSTER = small_cluster()
SENDERS = 4
ANSWERED_MIN = 60
TURNS = 8
"""Rotations of everything."""


def _a_read(name: str) -> bytes:
    acts = Acts(CLUSTER, seed=random.getrandbits(30))
    return batch(acts.read("Deployment/ops/operator", "get", f"app/{name}", time.time() - 1.0))


def test_a_drain_under_load_keeps_what_was_answered_and_the_rest_comes_again(tmp_path: Path) -> None:
    """SIGTERM while four senders post: exit 0; every 200 is in the store, anything else is sent again, and each is there once."""
    posted: dict[str, bytes] = {}
    answers: dict[str, int] = {}

    def post_on(sender: int) -> None:
        with contextlib.closing(serve.connection()) as connection:
            for number in range(100_000):
                name = f"drain-{sender}-{number}"
                posted[name] = _a_read(name)
                try:
                    status = serve.post(posted[name], connection=connection)[0]
                except (OSError, HTTPException, ValueError):  # the end: whatever a closed connection raises
                    status = 0
                answers[name] = status
                if status != 200:
                    return

    with ServeProcess(tmp_path / "serve", CLUSTER.text()) as serve:
        with ThreadPoolExecutor(SENDERS) as threads:
            running = [threads.submit(post_on, sender) for sender in range(SENDERS)]
            until(lambda: list(answers.values()).count(200) >= ANSWERED_MIN, "enough batches are answered")
            assert serve.end(signal.SIGTERM) == 0
            for each in running:
                each.result()
        assert set(answers.values()) <= {200, 503, 0}
        serve.start()
        kept = {piece["secret"]["name"] for piece in serve.all("evidence")}
        assert [name for name, status in answers.items() if status == 200 and name not in kept] == []
        for name in [name for name in posted if answers.get(name) != 200]:
            serve.take(posted[name])
        until(lambda: len(serve.all("evidence")) >= len(posted), "all of them are there")
        assert Counter(piece["secret"]["name"] for piece in serve.all("evidence")) == Counter(list(posted))
        assert {piece["count"] for piece in serve.all("evidence")} == {1}


class _Parser:
    async def ask(self, message: Any, *, timeout_s: float) -> ParsedBatch:
        digest = sha256(message.body).digest()
        return ParsedBatch(digest=digest, received_at=message.received_at, events=1, reads=())


class _Store:
    async def ask(self, message: Any, *, timeout_s: float) -> BatchAnswer:
        await trio.lowlevel.checkpoint()
        return BatchAnswer(events=1, reads=1, new=1, dropped={})


class _Cap:
    max_body_bytes = 1 << 20
    body_timeout_s = 20.0


def test_certificate_ca_and_tokens_change_under_load_without_a_failed_batch(tmp_path: Path) -> None:
    """Senders on lasting and on new connections; each turn renews the certificate, in the end under a new CA, and the tokens."""
    state, token_file = tmp_path / "state", tmp_path / "tokens"
    tokens_now = ["token-a"]
    token_file.write_text("token-a\n")
    tls = ServerTls(state_dir=state, now=time.time())
    tokens = Tokens(file=token_file, listener="audit", setting="PROTECTOR_INGEST_TOKEN")
    guard = Guard(tokens, rate_per_s=1e6, burst=10**6, max_body_bytes=1 << 20)
    app = make_audit_app(_Parser(), _Parser(), _Store(), guard, _Cap(), lambda: False)
    trusted = [(state / "tls" / "ca.crt").read_text()]
    statuses: Counter[int] = Counter()
    serials: set[str] = set()

    async def send(server: Any, over: trio.Event, batches_per_connection: int) -> None:
        while not over.is_set():
            context = ssl.create_default_context(cadata="".join(trusted))
            stream = trio.SSLStream(
                await server.connect_tcp(), context, server_hostname="localhost", https_compatible=True
            )
            await stream.do_handshake()
            serials.add(stream.getpeercert()["serialNumber"])
            for number in range(batches_per_connection):
                if over.is_set():
                    break
                head = f"Authorization: Bearer {tokens_now[-1]}\r\n"
                await stream.send_all(post("/audit", body=json.dumps(number).encode(), headers=head))
                statuses[(await response(stream))[0]] += 1
            await trio.aclose_forcefully(stream)

    async def rotate(server: Any) -> None:
        """As an operator does: what is new is known everywhere before what is old ends."""
        now = time.time()
        for turn in range(TURNS):
            seen = statuses.total()
            new = f"token-{turn}"
            token_file.write_text(f"{tokens_now[-1]}\n{new}\n")
            assert tokens.refresh(now + 10 * turn + 5)
            tokens_now.append(new)
            await server.settled(lambda seen=seen: statuses.total() >= seen + 20)  # the old token is on its way no more
            token_file.write_text(f"{new}\n")
            assert tokens.refresh(now + 10 * turn + 10)
            if turn == TURNS // 2:
                (state / "tls" / "ca.key").unlink()  # the CA is lost: a new one is made, which the senders are told of
                (state / "tls" / "server.crt").unlink()
                ahead = ServerTls(state_dir=state, now=now)
                trusted.append(ahead.files.ca.read_text() if ahead.files.ca else "")
            else:
                (state / "tls" / "server.crt").unlink()
            assert tls.refresh(now + 60 * (turn + 1))

    async def main() -> None:
        async with served(app, tls=tls.context) as server:
            over = trio.Event()
            async with trio.open_nursery() as nursery:
                for batches in (10_000, 10_000, 3, 1):
                    nursery.start_soon(send, server, over, batches)
                await rotate(server)
                over.set()
            assert server.listener.statistics().failures == {}

    run(main, real_time=True)
    assert set(statuses) == {200}
    assert len(serials) > TURNS // 2
    assert guard.statistics().unauthorized == 0
