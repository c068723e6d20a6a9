"""Chaos in a real `serve`: an operator kills every actor in turn from the dashboard while senders post over TLS, then the process ends.

Counterpart: test_chaos.py (a minute on a virtual clock) and test_chaos_sockets.py (real sockets in this process).
"""

from __future__ import annotations

import contextlib
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from serve_process import PATIENCE_S, ServeProcess, until
from small_cluster import Acts, batch, small_cluster

pytestmark = pytest.mark.slow

OPERATOR = "operator-" + "o" * 24
SENDERS = 3


def places(serve: ServeProcess) -> dict[str, dict[str, Any]]:
    """The places of the tree below the root, by path, as the API tells them."""
    found: dict[str, dict[str, Any]] = {}
    nodes = list(serve.json("/api/actors")["actors"])
    while nodes:
        node = nodes.pop()
        nodes += node["children"]
        found[node["path"]] = node
    return {path: node for path, node in found.items() if path != "/protector"}


def kill(serve: ServeProcess, path: str, incarnation: int) -> int:
    """What the dashboard's own form sends; the status."""
    origin = f"http://127.0.0.1:{serve.dashboard_port}"
    form = {"action": "kill", "path": path, "incarnation": str(incarnation), "operator_token": OPERATOR}
    headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection("127.0.0.1", serve.dashboard_port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/actors/-/act", urlencode(form), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_operator_who_kills_every_actor_in_turn_loses_nothing(tmp_path: Path) -> None:
    """Each place once, the supervisors too. Every answered read is there once, all run again, and SIGTERM still ends it in order."""
    settings = {"PROTECTOR_ACTOR_ACTIONS": "1", "PROTECTOR_OPERATOR_TOKEN": OPERATOR}
    cluster = small_cluster()
    answered: set[str] = set()
    over = False

    def post_on(sender: int) -> None:
        acts, number = Acts(cluster, seed=sender), 0
        while not over:
            name, number = f"k-{sender}-{number}", number + 1
            read = acts.read("Deployment/ops/operator", "get", f"app/{name}", time.time() - 1.0)
            body = batch(read, acts.read("Deployment/app/web", "get", "app/db-creds", time.time() - 1.0))
            status = 0
            while status != 200 and not over:
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                    status = serve.post(body)[0]
            if status == 200:
                answered.add(name)

    with ServeProcess(tmp_path / "serve", cluster.text(), **settings) as serve:
        serve.take(batch(Acts(cluster).read("Deployment/app/web", "get", "app/db-creds", time.time() - 1.0)))
        until(lambda: "/protector/pipeline/accounts/app.reader" in places(serve), "an account's actor is up")
        with ThreadPoolExecutor(SENDERS) as threads:
            sending = [threads.submit(post_on, sender) for sender in range(SENDERS)]
            try:
                # what the dashboard's own listener answers is cut when it is killed itself, so that comes apart
                paths = sorted(set(places(serve)) - {"/protector/edge", "/protector/edge/dashboard"})
                for path in sorted(paths, key=lambda path: -path.count("/")):
                    count = len(answered)
                    before = until(lambda path=path: running(serve, path), f"{path} runs")["incarnation"]
                    assert kill(serve, path, before) == 303, path
                    until(lambda path=path, before=before: back(serve, path, before), f"{path} runs again")
                    until(lambda count=count: len(answered) > count, "posts are answered again")
                for path in ("/protector/edge/dashboard", "/protector/edge"):
                    before = until(lambda path=path: running(serve, path), f"{path} runs")["incarnation"]
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        kill(serve, path, before)
                    until(lambda path=path, before=before: back(serve, path, before), f"{path} runs again")
            finally:
                over = True
            for each in sending:
                each.result()
        until(lambda: all(place["state"] == "running" for place in places(serve).values()), "all run")
        until(lambda: serve.lit_workloads() == {"web", "operator"}, "both chains are lit")
        counts = {piece["secret"]["name"]: piece["count"] for piece in serve.all("evidence")}
        assert [name for name in answered if counts.get(name) != 1] == []
        assert serve.end(15) == 0


def running(serve: ServeProcess, path: str) -> dict[str, Any] | None:
    """The place, if it runs; None also while nobody answers."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        place = places(serve).get(path)
        return place if place is not None and place["state"] == "running" else None
    return None


def back(serve: ServeProcess, path: str, before: int) -> bool:
    """Whether a later incarnation runs there."""
    place = running(serve, path)
    return place is not None and place["incarnation"] > before
