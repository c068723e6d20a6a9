"""`protector serve` as its operator meets it: kills, restarts, stops, refused starts, full disks, rotated tokens. A real process."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serve_process import ServeProcess, until
from small_cluster import Acts, batch, small_cluster

pytestmark = pytest.mark.slow

CLUSTER = small_cluster()
STOP_WITHIN_S = 30.0
"""The contract's bound after SIGTERM."""
ANSWERED_MIN = 40
"""Batches that were answered before the kill."""


def a_read(name: str = "db-creds", *, who: str = "Deployment/ops/operator", ago_s: float = 1.0) -> bytes:
    """A batch of one get."""
    return batch(Acts(CLUSTER, seed=random.getrandbits(30)).read(who, "get", f"app/{name}", time.time() - ago_s))


# --- it survives -------------------------------------------------------------------------------------------------


def test_kill_9_in_the_middle_of_posts_loses_no_answered_read(tmp_path: Path) -> None:
    """After the next start: every answered read, the same chains, repeated batches known, and nothing said twice."""
    first = a_read(who="Deployment/app/web")
    answered: list[tuple[str, bytes]] = []

    def post_on(sender: int) -> None:
        with contextlib.closing(serve.connection()) as connection:
            for number in range(100_000):
                name = f"k-{sender}-{number}"
                body = a_read(name)
                try:
                    if serve.post(body, connection=connection)[0] != 200:
                        return
                except (OSError, HTTPException, ValueError):  # the kill: whatever a cut connection or answer raises
                    return
                answered.append((name, body))

    with ServeProcess(tmp_path / "serve", CLUSTER.text()) as serve:
        serve.take(first)
        said = until(serve.lit_flips, "the first chain is said")
        with ThreadPoolExecutor(3) as threads:
            running = [threads.submit(post_on, sender) for sender in range(3)]
            until(lambda: len(answered) >= ANSWERED_MIN, "enough batches are answered")
            serve.end(signal.SIGKILL)
            for each in running:
                each.result()
        serve.start()
        until(lambda: serve.lit_workloads() == {"web", "operator"}, "both chains are lit again")
        found = {piece["secret"]["name"] for piece in serve.all("evidence")}
        assert [name for name, _ in answered if name not in found] == []
        again = [serve.take(body)["duplicate"] for body in (first, answered[0][1], answered[-1][1])]
        assert again == [True, True, True]
        until(lambda: len(serve.lit_flips()) >= 2, "what was not said yet is said")
        assert serve.lit_flips().count(said[0]) == 1
        assert [piece["count"] for piece in serve.all("evidence") if piece["verb"] == "get"] == [1] * len(found)


def test_a_restart_is_no_flip(tmp_path: Path) -> None:
    """SIGTERM and a start inside the TTL: what was lit is, by the same id, and gets no second line; what is new gets its own."""
    with ServeProcess(tmp_path / "serve", CLUSTER.text()) as serve:
        serve.take(a_read(who="Deployment/app/web"))
        lit = until(serve.lit, "the chain is lit")
        said = until(serve.lit_flips, "the chain is said")
        assert serve.end(signal.SIGTERM) == 0
        serve.start()
        assert until(serve.lit, "it is lit again") == lit
        serve.take(a_read(who="Deployment/app/left"))
        until(lambda: len(serve.lit_flips()) == 2, "the new one is said")
        assert serve.lit_flips()[:1] == said
        assert [flip["event"] for flip in serve.flips] == ["chain.corroborated"] * 2


def test_sigterm_ends_it_with_open_streams_and_half_a_body(tmp_path: Path) -> None:
    """Exit 0 within the bound, while a browser listens to events and a sender stopped in the middle of a batch."""
    with ServeProcess(tmp_path / "serve", CLUSTER.text(), PROTECTOR_BODY_TIMEOUT_S="1.5") as serve:
        stream = socket.create_connection(("127.0.0.1", serve.dashboard_port), STOP_WITHIN_S)
        stream.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert stream.recv(12) == b"HTTP/1.1 200"
        half = serve.raw()
        head = f"POST /audit HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {serve.token}\r\nContent-Length: 9999\r\n\r\n"
        half.sendall(head.encode() + b'{"kind":"EventList","items":[')
        in_flight = b'protector_listener_in_flight{listener="audit"} 1.0'
        until(lambda: in_flight in serve.get("/metrics")[1], "the half body is being read")
        began = time.monotonic()
        code = serve.end(signal.SIGTERM)
        took_s = time.monotonic() - began
        stream.close()
        half.close()
        assert (code, took_s < STOP_WITHIN_S) == (0, True), took_s
        assert "Traceback" not in serve.log


# --- the doors ---------------------------------------------------------------------------------------------------------


def test_each_refusal_comes_before_those_behind_it(tmp_path: Path) -> None:
    """404, 405, 401, 429, 413, in this order for requests that deserve all that follow; then 200, and 200 again as a duplicate."""
    settings = {"PROTECTOR_MAX_BODY_BYTES": "4096", "PROTECTOR_RATE_PER_S": "0.01", "PROTECTOR_RATE_BURST": "3"}
    large, body = b"x" * 5000, a_read()
    with ServeProcess(tmp_path / "serve", CLUSTER.text(), **settings) as serve:

        def status(**how: Any) -> int:
            return serve.post(how.pop("body", large), **how)[0]

        assert status(path="/nothing", method="PUT", token="wrong") == 404
        assert status(method="PUT", token="wrong") == 405
        assert [status(token="wrong"), status(token=None)] == [401, 401]
        assert status() == 413
        first, second = serve.post(body), serve.post(body)
        assert [(a[0], a[2]["duplicate"]) for a in (first, second)] == [(200, False), (200, True)]
        refused = serve.post(large)
        assert (refused[0], refused[1]["retry-after"]) == (429, "5")
        assert status(token="wrong") == 401


def test_nothing_is_taken_over_plaintext(tmp_path: Path) -> None:
    """An API server never sends its token over http: there is no answer to learn anything from, and TLS goes on."""
    with ServeProcess(tmp_path / "serve", CLUSTER.text()) as serve:
        body = a_read()
        with socket.create_connection(("127.0.0.1", serve.audit_port), 10) as plain:
            head = f"POST /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {serve.token}\r\nContent-Length: {len(body)}\r\n\r\n"
            plain.sendall(head.encode() + body)
            try:
                said = plain.recv(1000)
            except ConnectionResetError:
                said = b""
        assert b"200" not in said
        assert serve.all("evidence") == []
        assert serve.take(body)["reads"] == 1


def test_every_metric_is_told_once(tmp_path: Path) -> None:
    """The whole exposition parses, and no name and labels come twice: Prometheus would refuse the scrape."""
    with ServeProcess(tmp_path / "serve", CLUSTER.text()) as serve:
        serve.take(a_read())
        serve.post(b"{}", token="wrong")
        families = text_string_to_metric_families(serve.get("/metrics")[1].decode())
        samples = [(sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples]
    assert [sample for sample, count in Counter(samples).items() if count > 1] == []
    assert len(samples) > 100


def test_a_changed_token_file_counts(tmp_path: Path) -> None:
    """Every line is a token, the file wins over the setting, and a change is taken up while it runs."""
    file = tmp_path / "tokens"
    file.write_text("token-one-1\ntoken-two-2\n")
    with ServeProcess(tmp_path / "serve", CLUSTER.text(), PROTECTOR_INGEST_TOKEN_FILE=str(file)) as serve:

        def statuses(*tokens: str) -> list[int]:
            return [serve.post(b"{}", token=token)[0] for token in tokens]

        assert statuses("", "token-one-1", "token-two-2") == [401, 200, 200]
        file.write_text("token-two-2\ntoken-three-3\n")
        until(lambda: statuses("token-three-3") == [200], "the new token counts", within_s=60)
        assert statuses("token-one-1", "token-two-2") == [401, 200]


# --- refused starts ------------------------------------------------------------------------------------------------------


def bad_starts(folder: Path, taken_port: int) -> dict[str, tuple[ServeProcess, str]]:
    """Each start that must be refused, and what its one line has to name."""
    folder.mkdir()
    garbage, empty, folder_as_file = folder / "garbage.bin", folder / "empty.txt", folder / "a-folder"
    garbage.write_bytes(b"this is no file of that kind\n" * 500)
    empty.write_text("\n \n")
    folder_as_file.mkdir()
    text = CLUSTER.text()
    cases: dict[str, tuple[str, dict[str, str], str]] = {
        "no token": (text, {"PROTECTOR_INGEST_TOKEN": ""}, "PROTECTOR_INGEST_TOKEN"),
        "a misspelt setting": (text, {"PROTECTOR_TLL_S": "300"}, "PROTECTOR_TTL_S"),
        "a bad value": (text, {"PROTECTOR_TTL_S": "soon"}, "PROTECTOR_TTL_S"),
        "a token file that is missing": (text, {"PROTECTOR_INGEST_TOKEN_FILE": str(folder / "none")}, "TOKEN_FILE"),
        "a token file that is empty": (text, {"PROTECTOR_INGEST_TOKEN_FILE": str(empty)}, "empty.txt"),
        "a token file that cannot be read": (text, {"PROTECTOR_INGEST_TOKEN_FILE": str(folder_as_file)}, "a-folder"),
        "a cluster file that is missing": (text, {"PROTECTOR_CLUSTER": str(folder / "no.json")}, "no.json"),
        "a cluster file that is empty": ("", {}, "cluster.json"),
        "a cluster file that is cut short": (text[:-40], {}, "cluster.json"),
        "a cluster file of no known kind": ('{"kind":"Cheese"}', {}, "cluster.json"),
        "a port in use": (text, {"PROTECTOR_AUDIT_ADDR": f"127.0.0.1:{taken_port}"}, "PROTECTOR_AUDIT_ADDR"),
        "a store that is no database": (text, {"PROTECTOR_STORE": f"sqlite:///{garbage}"}, "garbage.bin"),
        "a state directory that is a file": (text, {"PROTECTOR_STATE_DIR": str(garbage)}, "garbage.bin"),
        "a certificate that is none": (
            text,
            {"PROTECTOR_TLS_CERT": str(garbage), "PROTECTOR_TLS_KEY": str(garbage)},
            "garbage.bin",
        ),
    }
    return {
        name: (ServeProcess(folder / f"serve-{number}", cluster, **settings), names)
        for number, (name, (cluster, settings, names)) in enumerate(cases.items())
    }


def test_every_bad_start_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """The line names the setting or the file; no traceback, and nothing was made on the way."""
    with socket.socket() as taken, ThreadPoolExecutor(os.cpu_count()) as threads:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = bad_starts(tmp_path / "bad", taken.getsockname()[1])
        outcomes = dict(zip(cases, threads.map(lambda case: case[0].outcome(), cases.values()), strict=True))
    for name, (serve, names) in cases.items():
        code, lines = outcomes[name]
        assert (code, len(lines)) == (2, 1), (name, code, lines)
        assert names in lines[0], (name, lines)
        assert not (serve.folder / "state" / "tls").exists(), name


def test_what_kubernetes_injects_stops_nothing(tmp_path: Path) -> None:
    """The variables of a Service called protector."""
    injected = {
        "PROTECTOR_PORT": "tcp://10.0.0.1:443",
        "PROTECTOR_PORT_443_TCP": "tcp://10.0.0.1:443",
        "PROTECTOR_PORT_443_TCP_ADDR": "10.0.0.1",
        "PROTECTOR_SERVICE_HOST": "10.0.0.1",
        "PROTECTOR_SERVICE_PORT": "443",
    }
    with ServeProcess(tmp_path / "serve", CLUSTER.text(), **injected) as serve:
        assert serve.get("/healthz")[0] == 200


# --- a full disk -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is refused here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], capture_output=True, check=True)


def fill(file: Path) -> None:
    """Takes all the room that is left."""
    with file.open("ab", buffering=0) as out:
        try:
            while True:
                out.write(b"\0" * 4096)
        except OSError:
            return


def test_a_full_disk_is_503_until_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    """Refused batches leave nothing behind, the dashboard goes on, and once there is room they are taken as new ones."""
    acts = Acts(CLUSTER)
    settings = {"PROTECTOR_STATE_DIR": str(small_disk / "state")}
    with ServeProcess(tmp_path / "serve", CLUSTER.text(), **settings) as serve:
        serve.state = small_disk / "state"
        serve.take(a_read(who="Deployment/app/audit"))
        filler = small_disk / "filler"
        chance = random.Random(3)
        answer: tuple[int, dict[str, str], Any] = (200, {}, None)
        for _ in range(100):  # whatever room there is in files that are there already, it ends
            fill(filler)
            names = [f"{chance.getrandbits(160):x}" for _ in range(400)]
            at = time.time() - 1
            body = batch(*(acts.read("Deployment/ops/operator", "get", f"app/{name}", at) for name in names))
            answer = serve.post(body)
            if answer[0] != 200:
                break
        assert (answer[0], answer[1].get("retry-after")) == (503, "5")
        refused = batch(*[acts.read("Deployment/app/web", "get", "app/db-creds", time.time() - 1)] * 400)
        assert serve.post(refused)[0] == 503
        assert serve.get("/healthz")[0] == 200
        assert "reader" not in {piece["service_account"]["name"] for piece in serve.all("evidence")}
        filler.unlink()
        taken = until(lambda: [a for a in [serve.post(refused)] if a[0] == 200], "it heals")[0][2]
        assert (taken["duplicate"], taken["reads"], taken["new"]) == (False, 400, 1)
        serve.end(signal.SIGKILL)
        serve.start()
        until(lambda: "web" in serve.lit_workloads(), "what was taken then is kept")
        assert [p["count"] for p in serve.all("evidence") if p["service_account"]["name"] == "reader"] == [400]
