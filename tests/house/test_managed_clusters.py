"""A managed cluster's log through the whole pipeline, and the how-to about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml
from forwarded_logs import CARRIERS, LOGS
from pipeline_kit import House, play
from small_cluster import Acts, small_cluster

from actors.evidence import LOGS as TOLD
from actors.testing.events import as_dict

HOW_TO = Path(__file__).parents[2] / "docs/how-to/managed-clusters.md"
LIT = {("web", "reader-get", "app/db-creds")}


def posted(
    log: str, carrier: str, *, late_s: float, lags_s: dict[str, float] | None = None
) -> tuple[Any, set[Any], list[Any]]:
    """A read that comes so late by this log: the answer, what is lit, and the evidence."""
    cluster = small_cluster()

    async def story(house: House) -> tuple[Any, set[Any], list[Any]]:
        await trio.sleep(1)
        event = Acts(cluster).read(
            "Deployment/app/web", "get", "app/db-creds", house.now() - late_s, by="RoleBinding/app/reader-get"
        )
        answer = await house.post(CARRIERS[carrier](LOGS[log]([as_dict(event)])))
        await trio.sleep(8)
        return answer, await house.lit(), await house.evidence()

    found: tuple[Any, set[Any], list[Any]] = play(House(cluster, lags_s=lags_s), story)
    return found


@pytest.mark.parametrize(
    ("log", "carrier", "via"),
    [
        ("cloudwatch", "vector lines", "eks"),
        ("eks lines", "otlp text", "eks"),
        ("eks lines", "fluent bit lines", "forwarded"),
        ("aks hub", "fluent bit kafka", "aks"),
        ("aks hub", "otlp bytes", "aks"),
        ("gke", "pubsub", "gke"),
        ("gke", "otlp text", "gke"),
    ],
)
def test_a_read_lights_its_chain_whoever_brings_it(log: str, carrier: str, via: str) -> None:
    """And its evidence says which log told it, and what that does not say."""
    answer, lit, (evidence,) = posted(log, carrier, late_s=1.0)
    assert (answer.reads, answer.new, answer.dropped) == (1, 1, {})
    assert lit == LIT
    assert (evidence.via, tuple(evidence.unsaid)) == (via, TOLD[via])
    assert evidence.attribution == ("shared" if via == "gke" else "exact")
    assert "unbound_token" not in evidence.signals


@pytest.mark.parametrize(("lags_s", "lit"), [({}, set()), ({"aks": 200.0}, LIT), ({"gke": 200.0}, set())])
def test_a_log_that_may_lag_lights_what_it_tells_late(lags_s: dict[str, float], lit: set[Any]) -> None:
    """The allowance is its own: another log's does not help."""
    assert posted("aks hub", "vector json", late_s=400.0, lags_s=lags_s)[1] == lit


# --- the how-to --------------------------------------------------------------------------------------------------


def _configurations() -> dict[str, Any]:
    blocks = re.findall(r"```yaml\n# ([\w-]+)\.yaml[^\n]*\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    return {name: yaml.safe_load(text) for name, text in blocks}


def test_the_configurations_send_what_the_tests_send() -> None:
    """Each forwarder's output: to the path of the audit listener, with a token, gzip, and in a form that is a carrier here."""
    made = _configurations()
    fluent_bit, vector, collector = made["fluent-bit"], made["vector"], made["otelcol"]
    (out,) = fluent_bit["pipeline"]["outputs"]
    assert (out["uri"], out["format"], out["compress"]) == ("/audit", "json", "gzip")
    assert out["header"].startswith("Authorization Bearer ")
    sink = vector["sinks"]["protector"]
    assert (sink["encoding"], sink["framing"]) == ({"codec": "json"}, {"method": "newline_delimited"})
    assert (sink["compression"], sink["auth"]["strategy"]) == ("gzip", "bearer")
    assert sorted(sink["inputs"]) == sorted(vector["sources"])
    exporter = collector["exporters"]["otlphttp"]
    assert (exporter["encoding"], exporter["compression"]) == ("json", "gzip")
    assert exporter["headers"]["Authorization"].startswith("Bearer ")
    assert {sink["uri"], exporter["logs_endpoint"]} == {"https://protector.example.test:9443/audit"}
    assert collector["service"]["pipelines"]["logs"]["receivers"] == sorted(collector["receivers"])


def test_every_log_and_what_it_does_not_say_is_in_the_how_to() -> None:
    """By its name."""
    text = HOW_TO.read_text()
    assert [log for log in TOLD if f"`{log}`" not in text] == []
    for words in ("pod", "node", "credential", "watch ended", "field selector", "left early"):
        assert words in text
