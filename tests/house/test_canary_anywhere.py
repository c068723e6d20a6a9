"""A Secret's value, planted wherever one can get in, comes out nowhere: not from the process, its files, answers or commands."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
from forwarded_logs import CARRIERS, LOGS, gke_entry
from pipeline_kit import Crash, Crashes, House, play
from serve_process import ServeProcess, free_port, protector, until
from small_cluster import Acts, ClusterFile, batch, changed, small_cluster

from actors.testing.events import as_dict

CANARY = "CANARYvalueOfASecret7f3a"
BASE64 = base64.b64encode(CANARY.encode()).decode()
FORMS = (CANARY.encode(), BASE64.encode())


def leaks(out: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Where a form of the value is, with what is around it."""
    return [
        (name, text[max(0, text.find(form) - 60) : text.find(form) + 20])
        for name, text in out.items()
        for form in FORMS
        if form in text
    ]


def planted_cluster() -> ClusterFile:
    """The small cluster with the value in every place of a cluster file that may hold one."""
    cluster = small_cluster()
    applied = json.dumps({"kind": "Secret", "data": {"password": BASE64}, "stringData": {"password": CANARY}})
    note = {"kubectl.kubernetes.io/last-applied-configuration": applied, "note": CANARY}
    managed = {"annotations": note, "managedFields": [{"manager": CANARY, "fieldsV1": {f"f:{CANARY}": {}}}]}
    secret = {"data": {"password": BASE64, CANARY: BASE64}, "stringData": {"password": CANARY}, "type": "Opaque"}
    cluster.add("v1", "Secret", "app/db-creds", managed, **secret)
    cluster.add("v1", "ConfigMap", "app/settings", managed, data={"password": CANARY})
    for item in cluster.items:
        item["metadata"].setdefault("annotations", {}).update(note)
        if item["kind"] == "Pod":
            container = item["spec"]["containers"][0]
            container["env"] = [{"name": "PASSWORD", "value": CANARY}]
            container["args"] = [f"--password={CANARY}"]
    return cluster


def planted_bodies(acts: Acts, at: float) -> list[bytes]:
    """Bodies with the value in every place of an audit event, well formed and not, and in what is no audit event at all."""
    value = {
        "kind": "Secret",
        "metadata": {"name": "db-creds", "annotations": {"a": CANARY}},
        "data": {"password": BASE64},
        "stringData": {"password": CANARY},
    }
    event = acts.read("Deployment/app/web", "get", "app/db-creds", at, by="RoleBinding/app/reader-get")
    notes = as_dict(event)["annotations"] | {"note.example.test/password": CANARY}
    full = changed(
        event,
        level="RequestResponse",
        requestObject=value,
        responseObject=value | {"items": [value]},
        annotations=notes,
    )
    status = {"metadata": {}, "code": 200, "details": {"causes": [{"message": CANARY}]}}
    wrong = [
        {"responseStatus": {"code": CANARY}},
        {"responseStatus": {"code": 404, "message": CANARY, "reason": BASE64}},
        {"verb": CANARY},
        {"verb": {"password": CANARY}},
        {"verb": 7},
        {"stage": CANARY},
        {"objectRef": CANARY},
        {"objectRef": {"resource": "secrets", "namespace": [CANARY], "name": {"p": BASE64}}},
        {"objectRef": {"resource": CANARY, "subresource": CANARY}},
        {"user": {"username": CANARY}},
        {"requestReceivedTimestamp": CANARY},
        {"annotations": [CANARY]},
        {"annotations": {"authorization.k8s.io/decision": CANARY}},
        {"sourceIPs": {CANARY: CANARY}},
        {"user": full["user"] | {"extra": {CANARY: [CANARY]}}},
    ]
    uri = {"requestURI": f"/api/v1/namespaces/app/secrets/db-creds?password={CANARY}&b={quote(BASE64)}"}
    good = batch(full, full | uri, full | {"responseStatus": status})
    return [
        good,
        batch(*(full | fields for fields in wrong)),
        good[:-200],
        good.replace(b'"get"', b'"\xff\xfeget"', 1),
        good + CANARY.encode(),
        json.dumps({"kind": CANARY, "apiVersion": CANARY, "items": [CANARY]}).encode(),
        json.dumps([CANARY, value]).encode(),
        json.dumps({"kind": "EventList", "items": [CANARY, value, [value], {"requestObject": value}]}).encode(),
        json.dumps({"kind": "EventList", "items": {"password": CANARY}}).encode(),
        b'{"password": "' + CANARY.encode(),
        CANARY.encode(),
        BASE64.encode() * 1000,
        json.dumps(value).encode(),
        *planted_logs(full),
    ]


def planted_logs(event: Any) -> list[bytes]:
    """The same event, and worse, inside what forwarders put around it: the value in the event and beside it."""
    said = [event, {"verb": CANARY}, f"password={CANARY}"]
    beside = {CANARY: BASE64, "headers": {"password": CANARY}}
    made = [
        carrier([record | beside for record in log(said[:1] if name == "gke" else said)])
        for name, log in LOGS.items()
        for carrier in CARRIERS.values()
    ]
    entry = gke_entry(event)
    entry["protoPayload"] |= {"response": {"data": {"password": BASE64}}, "request": CANARY, "methodName": CANARY}
    return [*made, json.dumps([entry, entry | {"labels": CANARY}]).encode(), made[0][:-40], made[-1][:-40]]


def planted_reports(cluster: ClusterFile) -> list[tuple[str, bytes]]:
    """Reports of sensors with the value wherever a command line, a file's content or garbage can bring it along."""
    pod = next(item["metadata"] for item in cluster.items if item["kind"] == "Pod")
    fields = {"k8s.ns.name": "app", "k8s.pod.name": pod["name"], "proc.cmdline": f"curl -u u:{CANARY}", CANARY: BASE64}
    alert = {"rule": "Shell", "priority": "Critical", "output": CANARY, "tags": [CANARY], "output_fields": fields}
    good = {
        "pod_uid": pod["uid"],
        "behavior": {"kind": "process_exec", "path": "/bin/sh", "argv": [CANARY]},
        "env": CANARY,
    }
    wrong = [
        good | {"behavior": {"kind": CANARY}},
        good | {"behavior": {"kind": "file_read", "path": f"/tmp/{CANARY}"}},
        good | {"behavior": {"kind": "secret_read", "secret": CANARY}},
        good | {"pod_uid": CANARY},
        good | {"pod_uid": [CANARY]},
        good | {"observed_at_ms": CANARY},
        CANARY,
    ]
    return [
        ("/behavior", json.dumps([good, *wrong]).encode()),
        ("/behavior", json.dumps({"observations": [good], "liveness": CANARY}).encode()),
        ("/behavior", json.dumps({CANARY: [good]}).encode()),
        ("/behavior", CANARY.encode()),
        ("/", json.dumps(alert).encode()),
        ("/", json.dumps(alert | {"priority": CANARY}).encode()),
        ("/", json.dumps(alert | {"time": CANARY}).encode()),
        ("/", json.dumps(alert | {"output_fields": CANARY}).encode()),
        ("/", BASE64.encode()),
    ]


def stored(state: Path) -> Iterator[tuple[str, bytes]]:
    """Every file as it is, and every value of every table, inflated where it is deflated."""
    for file in state.rglob("*"):
        if file.is_file():
            yield str(file.relative_to(state)), file.read_bytes()
    with contextlib.closing(sqlite3.connect(state / "protector.db")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for number, row in enumerate(database.execute(f"SELECT * FROM {table}")):
                for value in row:
                    plain = value if isinstance(value, bytes) else str(value).encode()
                    yield f"{table}/{number}", plain
                    with contextlib.suppress(zlib.error):
                        yield f"{table}/{number} inflated", zlib.decompressobj().decompress(plain)


class Listener:
    """A browser that listens to the events and keeps what it heard."""

    def __init__(self, serve: ServeProcess) -> None:
        self.heard = b""
        self._socket = socket.create_connection(("127.0.0.1", serve.dashboard_port), 10)
        self._socket.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self._thread = threading.Thread(target=self._listen)  # noqa: TID251 - a client beside the test, nothing of ours
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                self.heard += data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()


def shown(serve: ServeProcess) -> Iterator[tuple[str, bytes]]:
    """Every page and answer of the dashboard, those of each chain and actor too."""
    paths = [
        *("/", "/evidence", "/actors", "/metrics", "/healthz", "/readyz", "/api/chains", "/api/evidence"),
        *(
            "/api/evidence?live=false",
            "/api/actors",
            "/api/status",
            "/api/history",
            "/api/secrets/app/db-creds",
            "/api/chains/none",
        ),
    ]
    for chain in serve.all("chains"):
        paths += [f"/chains/{chain['id']}", f"/api/chains/{chain['id']}"]
    nodes = list(serve.json("/api/actors")["actors"])
    while nodes:
        node = nodes.pop()
        nodes += node["children"]
        paths.append(f"/actors{node['path']}")
    for path in paths:
        status, body = serve.get(path)
        assert status == 200 or path.endswith("/none"), (path, status)
        yield path, body


def commands(serve: ServeProcess, folder: Path, bodies: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """What the commands print, on both outputs, about the same cluster and the same bodies as a log."""
    log, server = folder / "audit.log", f"http://127.0.0.1:{serve.dashboard_port}"
    log.write_bytes(b"\n".join(body.replace(b"\n", b" ") for body in bodies))
    cluster = ("--cluster", str(serve.cluster_file))
    asked: list[tuple[str, ...]] = [
        ("replay", str(log), *cluster, "--output", "table"),
        ("replay", str(log), *cluster, "--output", "json"),
        ("access", *cluster, "--secret", "app/db-creds"),
        ("chains", "--server", server, "--output", "json"),
        ("actors", "--server", server, "--output", "json"),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        ended = list(threads.map(lambda arguments: protector(*arguments), asked))
    for arguments, done in zip(asked, ended, strict=True):
        assert done.returncode in (0, 1), (arguments, done.stderr)
        assert done.stdout, arguments
        yield " ".join(arguments), done.stdout + done.stderr


@pytest.mark.slow
def test_no_value_of_a_secret_comes_out_of_the_process(tmp_path: Path) -> None:
    """After posts, kill -9 and SIGTERM: flip log, log, files and rows, pages, API, metrics, events, answers, and the commands."""
    cluster = planted_cluster()
    bodies = planted_bodies(Acts(cluster), time.time() - 1)
    readable = [body for body in bodies if b'"data":"' not in body and b'"bytesValue"' not in body]
    assert all(any(form in body for form in FORMS) for body in readable)
    out: dict[str, bytes] = {}
    sensors = {"PROTECTOR_BEHAVIOR_ADDR": f"127.0.0.1:{free_port()}", "PROTECTOR_BEHAVIOR_TOKEN": "sensors"}
    with ServeProcess(tmp_path / "serve", cluster.text(), **sensors) as serve:
        listener = Listener(serve)
        for number, (path, report) in enumerate(planted_reports(cluster)):
            status, told = serve.report(report, path)
            assert status == 200, (number, told)
            out[f"answer to report {number}"] = json.dumps(told).encode()
        assert serve.report(b"[]", token=serve.token)[0] == 401
        alert_heard = lambda: any("alert" in c["corroborated_by"] for c in serve.all("chains"))  # noqa: E731
        until(alert_heard, "the planted alert lights its chain")
        out |= {f"alerted: {path}": body for path, body in shown(serve)}
        for number, body in enumerate(bodies):
            status, headers, answer = serve.post(body, path=f"/audit?timeout=30s&password={CANARY}")
            assert status == 200, (number, answer)
            out[f"answer {number}"] = json.dumps([headers, answer]).encode()
        for how in ({"token": CANARY}, {"path": f"/{CANARY}"}, {"method": CANARY}):
            out[f"answer to {how}"] = json.dumps(serve.post(bodies[0], **how)[1:]).encode()
        until(lambda: serve.lit_workloads() == {"web"}, "the planted read lights its chain")
        until(lambda: b"chain.corroborated" in listener.heard, "the event is heard")
        listener.close()
        out["events"] = listener.heard
        out |= {f"GET {path}": body for path, body in shown(serve)}
        serve.end(signal.SIGKILL)
        out |= {f"killed: {name}": text for name, text in stored(serve.state)}
        serve.start()
        until(lambda: serve.lit_workloads() == {"web"}, "it is lit after the restart")
        out |= {f"again: {path}": body for path, body in shown(serve)}
        out |= dict(commands(serve, tmp_path, bodies))
        assert serve.end(signal.SIGTERM) == 0
        out |= {f"stopped: {name}": text for name, text in stored(serve.state)}
        out["log"] = serve.log.encode()
        out["flip log"] = serve.said
    assert leaks(out) == []


class Telling(Crashes):
    """An actor fails with an exception whose text is the whole message that it was handling."""

    def __call__(self, path: str, message: Any) -> None:
        try:
            super().__call__(path, message)
        except Crash:
            raise ValueError(f"cannot handle {message!r}: {CANARY}") from OSError(CANARY)


@pytest.mark.parametrize("name", ["parser", "store", "app.reader", "engine", "announcer"])
def test_a_crash_tells_nothing_of_what_was_handled(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither crash report nor dead letter, lifecycle event, log or snapshot repeats the message or the exception's text."""
    cluster = planted_cluster()
    crashes = Telling({name: (1, 2)})

    async def story(house: House) -> list[str]:
        out: list[Any] = []
        with house.system.subscribe(1000) as events:
            await trio.sleep(1)
            out += [await house.post(body) for body in planted_bodies(Acts(cluster), house.now() - 1)]
            await trio.sleep(30)
            assert await house.lit() == {("web", "reader-get", "app/db-creds")}
            out += [await house.chains(), await house.evidence(), house.lines]
            while (event := events.receive_nowait()) is not None:
                out.append(event)
        out += [*house.system.dead_letters, house.system.snapshot().to_builtins()]
        return [repr(each) for each in out]

    said = play(House(cluster, crashes=crashes), story)
    assert crashes.done
    assert any("ValueError" in text for text in said)
    captured = capfd.readouterr()
    out = {"told": "\n".join(said).encode(), "printed": (captured.out + captured.err).encode()}
    out["logged"] = (caplog.text + "".join(str(record.args) for record in caplog.records)).encode()
    assert leaks(out) == []
