"""What outsiders may send, against the real process: each costs itself at most. In detail: tests of the parser and of ingest."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from serve_process import ServeProcess, until
from small_cluster import Acts, batch, changed, small_cluster

pytestmark = pytest.mark.slow

CLUSTER = small_cluster()
MIB = 1 << 20
CAP = 48 * MIB
"""The default of PROTECTOR_MAX_BODY_BYTES."""
KERNEL_MAX = 24 * MIB
"""What the buffers of both kernels may take of a body that nobody reads."""
AT_ONCE_S = 5.0
"""An answer at once, on a machine that is busy."""
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\nforged: line\u202egnp.exe"
RAW = (b"<script>alert(1)", b"<img src=x", b"\x1b[31m", b"\nforged: line", "\u202e".encode())


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """One process for all of these: none of them may end it, or any actor of it."""
    folder = tmp_path_factory.mktemp("bad") / "serve"
    with ServeProcess(folder, CLUSTER.text(), PROTECTOR_BODY_TIMEOUT_S="1.5") as serve:
        yield serve


@pytest.fixture
def acts() -> Acts:
    return Acts(CLUSTER, seed=time.monotonic_ns())


@pytest.fixture(autouse=True)
def unharmed(serve: ServeProcess) -> Iterator[None]:
    """After each: it runs, it is ready, and no actor failed."""
    yield
    assert serve.get("/readyz")[0] == 200
    nodes = list(serve.json("/api/actors")["actors"])
    while nodes:
        node = nodes.pop()
        nodes += node["children"]
        assert (node["state"], node["failed"], node["last_failure"]) == ("running", 0, None), node["path"]
    assert "Traceback" not in serve.log


def head(serve: ServeProcess, *lines: str, token: str | None = None) -> bytes:
    """A request head for the audit listener."""
    fields = [f"Authorization: Bearer {token or serve.token}", *lines] if token != "" else [*lines]
    return "\r\n".join(["POST /audit HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


def send_all_of(connection: Any, part: bytes, size: int) -> int:
    """Sends `size` bytes of `part` over and over; how many were taken before the other side would take no more."""
    sent = 0
    try:
        while sent < size:
            connection.sendall(part)
            sent += len(part)
    except OSError:
        pass
    return sent


def item(event: Any) -> bytes:
    return json.dumps(event).encode()


def raw_batch(*items: bytes) -> bytes:
    """An EventList of items that may be no JSON."""
    return b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[' + b",".join(items) + b"]}"


def test_100_mb_without_a_token_is_refused_at_once(serve: ServeProcess) -> None:
    """401 before anything of the body was sent, and what is sent then is not read."""
    with serve.raw() as connection:
        began = time.monotonic()
        connection.sendall(head(serve, f"Content-Length: {100 * MIB}", token=""))
        assert connection.recv(12) == b"HTTP/1.1 401"
        assert time.monotonic() - began < AT_ONCE_S
        assert send_all_of(connection, b"x" * 65536, 100 * MIB) < KERNEL_MAX


def test_chunks_over_the_cap_are_413(serve: ServeProcess) -> None:
    """A body without a length, one MiB after another: refused where it crosses the cap."""
    chunk = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
    with serve.raw() as connection:
        connection.sendall(head(serve, "Transfer-Encoding: chunked"))
        assert send_all_of(connection, chunk, CAP + MIB) + MIB >= CAP
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_body_that_stops_half_way_is_408(serve: ServeProcess, acts: Acts) -> None:
    """After the body's deadline, and nothing of it is used."""
    body = batch(acts.read("Deployment/app/audit", "list", "app/*", time.time() - 1))
    with serve.raw() as connection:
        connection.sendall(head(serve, f"Content-Length: {len(body) + 1}") + body)
        assert connection.recv(12) == b"HTTP/1.1 408"
    assert "lister" not in {piece["service_account"]["name"] for piece in serve.all("evidence")}


def test_a_client_that_leaves_in_the_middle_costs_nothing(serve: ServeProcess) -> None:
    """A hundred connections that are cut in the handshake, the head or the body."""
    for number in range(100):
        with socket.create_connection(("127.0.0.1", serve.audit_port), 10) as tcp:
            tcp.sendall(b"\x16\x03\x01\x02\x00" if number % 2 else head(serve, "Content-Length: 9"))
    with serve.raw() as connection:
        connection.sendall(head(serve, "Content-Length: 1000") + b"{")
    assert serve.take(b"[]")["events"] == 0


def test_poison_in_one_batch_hides_no_neighbour(serve: ServeProcess, acts: Acts) -> None:
    """Of 400 items some cannot be read, each in another way: the others count, and light their chains."""
    now = time.time()
    good = acts.read("Deployment/app/web", "get", "app/db-creds", now - 1)
    other = item(changed(acts.read("Deployment/app/left", "get", "app/smtp", now - 1)))
    wide = item(changed(acts.read("Deployment/ops/operator", "list", "*", now - 1)))
    plain = item(changed(good))
    poison = {
        "invalid UTF-8": plain.replace(b'"get"', b'"g\xff\xfet"'),
        "nested deep": plain[:-1] + b',"requestObject":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        "a number for a verb": item(changed(good, verb=7)),
        "NaN": plain[:-1] + b',"x":NaN}',
        "keys twice": plain[:-1] + b',"verb":"delete"}',
        "no object": b'[{"kind":0}]',
        "a name with markup": item(
            changed(good, objectRef={"resource": "secrets", "namespace": "app", "name": HOSTILE})
        ),
    }
    items = [plain] * (400 - len(poison) - 2)
    for number, each in enumerate([*poison.values(), other, wide]):
        items.insert(number * 40, each)
    answer = serve.take(raw_batch(*items))
    assert (answer["events"], answer["reads"] + sum(answer["dropped"].values())) == (400, 400)
    assert set(answer["dropped"]) <= {"malformed", "not_a_read"}
    assert answer["reads"] >= 400 - len(poison)
    until(lambda: serve.lit_workloads() >= {"web", "left", "operator"}, "the neighbours' chains are lit")


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":0}',
        b"NaN",
        b'{"kind":"EventList","items":NaN}',
        b'{"kind":"Event","kind":0}',
        b"\xff\xfe",
        b"",
        b"[" * 10**6,
    ],
    ids=["kind 0", "NaN", "items NaN", "kind twice", "no text", "nothing", "a million brackets"],
)
def test_a_body_that_holds_no_events_is_said_and_taken(serve: ServeProcess, body: bytes) -> None:
    """200, with `error` and no events: an API server would send anything else again and again."""
    answer = serve.take(body)
    assert (answer["events"], answer["reads"], bool(answer["error"])) == (0, 0, True)


def test_a_list_of_40_mb_holds_up_nobody(tmp_path: Path, acts: Acts) -> None:
    """It is taken whole, and small batches and health are answered meanwhile."""
    with ServeProcess(
        tmp_path / "serve", CLUSTER.text()
    ) as serve:  # with the body deadline of 25 s, not that of the others
        _hold_nobody_up(serve, acts)


def _hold_nobody_up(serve: ServeProcess, acts: Acts) -> None:
    event = changed(acts.read("Deployment/ops/operator", "get", "app/large", time.time() - 1), level="RequestResponse")
    large = item(event | {"responseObject": {"data": {"k": "djE=" * 2000}}})
    body = raw_batch(*[large] * (40 * MIB // len(large)))
    slowest_s = 0.0
    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(serve.take, body)
        while not taken.done():
            began = time.monotonic()
            assert serve.get("/healthz")[0] == 200
            serve.take(batch(acts.read("Deployment/ops/operator", "get", "app/small", time.time() - 1)))
            slowest_s = max(slowest_s, time.monotonic() - began)
        answer = taken.result()
    assert (answer["events"], answer["reads"], answer["new"]) == (len(body) // len(large),) * 2 + (1,)
    assert slowest_s < AT_ONCE_S


def test_markup_and_control_characters_are_shown_and_never_raw(serve: ServeProcess, acts: Acts) -> None:
    """Free text of a read, names of Secrets, kinds, paths and tokens: escaped in pages, visible escapes in both logs."""
    read = acts.read("Deployment/app/mounter", "get", "app/db-creds", time.time() - 1)
    hostile = changed(read, userAgent=HOSTILE, sourceIPs=[HOSTILE], auditID=HOSTILE)
    names = [
        changed(read, objectRef={"resource": "secrets", "namespace": ns, "name": name})
        for ns, name in ((HOSTILE, "a"), ("app", HOSTILE))
    ]
    answer = serve.take(batch(hostile, *names))
    assert (answer["reads"], answer["dropped"]) == (1, {"malformed": 2})
    serve.take(item({"kind": HOSTILE, "apiVersion": HOSTILE}))
    assert serve.post(b"", path=f"/{quote(HOSTILE)}")[0] == 404
    assert serve.post(b"", token=re.sub(r"[^\x20-\x7e]", "", HOSTILE))[0] == 401
    piece = until(
        lambda: [p for p in serve.all("evidence") if p["service_account"]["name"] == "plain"], "the read is evidence"
    )[0]
    assert piece["user_agent"] == HOSTILE
    paths = ["/", "/evidence", "/actors", f"/?namespace={quote(HOSTILE)}", f"/{quote(HOSTILE)}", "/metrics"]
    for path in paths:
        page = serve.get(path)[1]
        assert [raw for raw in RAW if raw in page] == [], path
    assert [raw for raw in RAW[2:] if raw in serve.log.encode() + serve.said] == []
