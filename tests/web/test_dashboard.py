"""The composed application: health, static files, our own mistakes."""

from __future__ import annotations

import json
from typing import Any

import web_stand_ins as w
from trio_run import run

from actors.cluster.queries import ClusterStatusQuery, KindStatus
from actors.engine.queries import ChainsQuery, EngineStatusQuery
from actors.runtime import AskTimeout
from actors.store import StoreStatusQuery
from web.dashboard import make_dashboard
from web.gate import Access
from web.shown import STATIC, static_link
from web.sources import Sources


def get(path: str, sources: Sources | None = None) -> tuple[int, Any, dict[str, str]]:
    """(status, JSON or text, headers by lower-case name) of one request."""

    async def main() -> tuple[int, Any, dict[str, str]]:
        client = make_dashboard(sources or w.made_up(), Access()).test_client()
        answer = await client.get(path, headers={"Host": "localhost"})
        lower = {name.lower(): value for name, value in answer.headers.items()}
        body = (await answer.get_data()).decode()
        return answer.status_code, json.loads(body) if lower["content-type"] == "application/json" else body, lower

    return run(main)


def test_health_and_readiness():
    """healthz is about the process; readyz names what is missing, in our words."""
    assert get("/healthz")[:2] == (200, "ok\n")
    assert get("/readyz")[:2] == (200, {"ready": True, "missing": []})
    sources = w.made_up()
    sources.engine.answers[EngineStatusQuery] = w.engine_status(ready=False)
    sources.store.answers[StoreStatusQuery] = AskTimeout("x")
    assert get("/readyz", sources)[:2] == (503, {"ready": False, "missing": ["store", "engine"]})


def test_static_files_are_kept_by_content():
    """Static files say what they are; with their digest in the address they may be kept, without they are asked again."""
    for name in STATIC:
        status, _, headers = get(static_link(name))
        assert (status, "immutable" in headers["cache-control"]) == (200, True)
    assert get("/static/style.css")[2]["cache-control"] == "no-cache"
    assert get("/static/../shown.py")[0] == 404
    assert get("/static/%2e%2e%2fshown.py")[0] == 404


def _unexpected(query: Any) -> Any:
    raise ZeroDivisionError("\x1b[31m what a client sent")


def test_our_own_mistake_is_a_page_and_one_log_line(capsys):
    """An unexpected exception is a 500 without its text, in the answer and in the log."""
    sources = w.made_up()
    sources.engine.answers[ChainsQuery] = _unexpected
    status, page, headers = get("/?namespace=a", sources)
    assert status == 500
    assert "default-src 'none'" in headers["content-security-policy"]
    out = capsys.readouterr()
    assert "what a client sent" not in page + out.out + out.err


def test_readiness_says_how_old_each_kind_of_a_live_cluster_is():
    """By kind, never by object; also of one that may not be read. A file has no such ages."""
    kinds = {
        "Pod": KindStatus(7, synced=True, age_s=3.14159, state="watching"),
        "Role": KindStatus(0, synced=False, age_s=0.0, state="listing"),
        "HTTPRoute": KindStatus(
            0, synced=False, age_s=0.0, state="forbidden", why="missing permission: list httproutes"
        ),
    }
    sources = w.made_up(cluster=w.Ref({ClusterStatusQuery: w.cluster_status(kinds)}))
    status, answer, _ = get("/readyz", sources)
    assert (status, answer["missing"]) == (503, ["cluster"])
    assert answer["kinds"] == {
        "HTTPRoute": {"state": "forbidden", "synced": False, "age_s": 0.0},
        "Pod": {"state": "watching", "synced": True, "age_s": 3.1},
        "Role": {"state": "listing", "synced": False, "age_s": 0.0},
    }
