"""docs/monitoring/: made of the metric definitions, and read by promtool where it is installed (Debian: package prometheus)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import web_stand_ins as w
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from trio_run import run

from web.gate import Access
from web.metrics import Metrics
from web.monitoring import ALERTS, ROWS, alert_rules, dashboard, unknown_metrics

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    """Every family that a scrape of the stand-ins tells."""
    text = run(Metrics(w.made_up(), Access().statistics).text).decode()
    return list(text_string_to_metric_families(text))


def test_the_files_are_what_the_definitions_make(families: list[Metric]) -> None:
    """UPDATE_MONITORING=1 writes them; without it what is there must be the same."""
    made = {"alerts.yaml": alert_rules(), "dashboard.json": dashboard(families)}
    if os.environ.get("UPDATE_MONITORING") == "1":
        FOLDER.mkdir(exist_ok=True)
        for name, text in made.items():
            (FOLDER / name).write_text(text)
    assert made == {name: (FOLDER / name).read_text() for name in made}, "run this test with UPDATE_MONITORING=1"


def test_alerts_name_metrics_that_there_are(families: list[Metric]) -> None:
    """No alert can stay silent because of a name."""
    assert set() == unknown_metrics(families)
    assert len(ALERTS) == len({alert.name for alert in ALERTS})


def test_alerts_use_labels_that_their_metrics_have(families: list[Metric]) -> None:
    """`$labels.x` in words, and matchers in expressions."""
    labels = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    for alert in ALERTS:
        named = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.what_to_do))
        named |= set(re.findall(r"{(\w+)=", alert.expression))
        for metric in re.findall(r"protector_\w+", alert.expression):
            assert named <= labels[metric], alert.name


def test_the_dashboard_shows_every_family_once(families: list[Metric]) -> None:
    """A panel each, within the grid, none over another; queries name only metrics that there are."""
    panels: list[dict[str, Any]] = json.loads(dashboard(families))["panels"]
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert len(families) == len(shown) == len({panel["title"] for panel in shown})
    assert [title for title, _ in ROWS] == [panel["title"] for panel in panels if panel["type"] == "row"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@needs_promtool
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    """The rule file as it is, and its alerts over made-up series: each fires when it should, and not before."""
    assert PROMTOOL is not None
    checked = subprocess.run(
        [PROMTOOL, "check", "rules", FOLDER / "alerts.yaml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr

    def fires(name: str, at: str, values: dict[str, str], labels: dict[str, str] | None = None) -> dict[str, Any]:
        alert = next(each for each in ALERTS if each.name == name)
        series = [{"series": series, "values": points} for series, points in values.items()]
        expected = [] if labels is None else [{"exp_labels": {"severity": alert.severity, **labels}}]
        return {"interval": "1m", "input_series": series,
                "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": expected}]}  # fmt: skip

    def words(test: dict[str, Any]) -> dict[str, Any]:
        """promtool compares annotations too."""
        for rule in test["alert_rule_test"]:
            alert = next(each for each in ALERTS if each.name == rule["alertname"])
            for each in rule["exp_alerts"]:
                filled = re.sub(r"{{ \$labels\.(\w+) }}", lambda m: str(each["exp_labels"][m[1]]), alert.summary)  # noqa: B023
                each["exp_annotations"] = {"summary": filled, "description": alert.what_to_do}
        return test

    store = {"actor": "/protector/pipeline/store"}
    tests = [
        fires("ProtectorOpenFinding", "3m", {"protector_chains_open": "0 0 0 0"}),
        fires("ProtectorOpenFinding", "3m", {"protector_chains_open": "0 0 1 1"}, {}),
        fires("ProtectorFeedSilent", "4m", {"protector_feed_live": "0x10"}),
        fires("ProtectorFeedSilent", "6m", {"protector_feed_live": "0x10"}, {}),
        fires("ProtectorAbsent", "6m", {"protector_chains": "1x10"}, {}),
        fires("ProtectorPartUnanswered", "3m", {'protector_up{part="engine"}': "0x10"}, {"part": "engine"}),
        fires("ProtectorWindowFull", "5m", {"protector_evicted_observations_total": "0 0 5 5 5 5"}, {}),
        fires("ProtectorFallingBehind", "6m", {f'protector_mailbox_{what}{{actor="{store["actor"]}"}}': f"{n}x10"
              for what, n in (("depth", 90), ("capacity", 100))}, store),
        fires("ProtectorHistoryFull", "5m", {'protector_store_overflows_total{part="digests"}': "0 0 5 5 5 5"}),
    ]  # fmt: skip
    file = tmp_path / "alerts_test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(FOLDER / "alerts.yaml")], "tests": [words(test) for test in tests]})
    )
    tried = subprocess.run([PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stdout + tried.stderr
