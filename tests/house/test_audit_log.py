"""The audit log's file through the whole house: what is live lights its chain, what is old enters history, a value gets nowhere."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from serve_process import ServeProcess, until
from small_cluster import Acts, small_cluster

from actors.testing.events import as_dict

CANARY = "CANARYinTheAuditLog5c1d"


def event_line(acts: Acts, at: float) -> bytes:
    """A read of app/db-creds by the web pod, at RequestResponse level with the value in it."""
    event = as_dict(acts.read("Deployment/app/web", "get", "app/db-creds", at, by="RoleBinding/app/reader-get"))
    value = {"kind": "Secret", "stringData": {"password": CANARY}, "metadata": {"annotations": {"a": CANARY}}}
    return json.dumps(event | {"level": "RequestResponse", "responseObject": value}).encode() + b"\n"


@pytest.mark.slow
def test_a_line_of_the_log_lights_its_chain_once_and_an_old_one_never(tmp_path: Path) -> None:
    """Without any listener for the webhook; killed and started again, after a rotation, nothing is counted twice."""
    cluster, log = small_cluster(), tmp_path / "logs" / "audit.log"
    acts = Acts(cluster)
    log.parent.mkdir()
    log.write_bytes(event_line(acts, time.time() - 3_600) + b'{"half": "' + CANARY.encode() + b"\n")
    serve = ServeProcess(tmp_path / "serve", cluster.text(), PROTECTOR_AUDIT_LOG=str(log), PROTECTOR_AUDIT_ADDR="")
    with serve:
        until(lambda: serve.json("/api/status")["counts"]["reads"] == 1, "the old line is taken")
        assert serve.json("/api/status")["counts"]["late"] == 1
        assert set() == serve.lit_workloads()
        with log.open("ab") as file:
            file.write(event_line(acts, time.time()))
        until(lambda: {"web"} == serve.lit_workloads(), "the chain is lit")
        serve.end()
        log.rename(log.with_name("audit-2026-01-01T00-00-00.000.log"))
        log.write_bytes(event_line(acts, time.time()))
        serve.start()
        until(lambda: serve.json("/api/status")["counts"]["reads"] == 1, "the new file's line is taken")
        # three lines in all: the old one is remembered in the same observation
        assert {3} == {e["count"] for e in serve.all("evidence") if e["live"]}
        shown = [
            serve.get(path)[1] for path in ("/", "/evidence", "/actors", "/metrics", "/api/status", "/api/evidence")
        ]
    files = [path.read_bytes() for path in serve.folder.rglob("*") if path.is_file()]
    assert not [text for text in (*shown, *files, serve.said, serve.log.encode()) if CANARY.encode() in text]
