"""Alert rules for Prometheus and a dashboard for Grafana, made of the metric definitions. Pure.

An alert names metrics by what they are called on /metrics; a name that is none there is a fault (`unknown_metrics`). The dashboard
has a panel for each family, with the family's own words: what is added there appears here. Counterpart: web/metrics.py; the files
are docs/monitoring/, held against this by tests/web/test_monitoring.py (UPDATE_MONITORING=1 writes them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import yaml
from msgspec import Struct
from prometheus_client import Metric

__all__ = ["ALERTS", "Alert", "alert_rules", "dashboard", "unknown_metrics"]


class Alert(Struct, frozen=True):
    """One rule. `lasting`: how long it must hold, as Prometheus writes durations."""

    name: str
    expression: str
    lasting: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    what_to_do: str


ALERTS: Final = (
    Alert("ProtectorAbsent", "absent(protector_build_info)", "5m", "critical",
          "No protector is scraped.", "See whether it runs and whether Prometheus may reach /metrics."),
    Alert("ProtectorOpenFinding", "protector_chains_open > 0", "0m", "warning",
          "Workloads read Secrets by chains that no expected reader accounts for.",
          "Look at /?open=true. Cut the binding, or add an entry to the expected readers."),
    Alert("ProtectorUnexplainedRead", "protector_unexplained_reads > 0", "0m", "critical",
          "A read was allowed that no known grant covers.",
          "Look at /evidence?signal=unexplained: another authorizer, a stale snapshot, or a grant that was there for a moment."),
    Alert("ProtectorFeedSilent", "protector_feed_live == 0", "5m", "critical",
          "No audit batches arrive: nothing is known of what is read.",
          "See the API server's audit webhook errors; unknown is not quiet."),
    Alert("ProtectorFeedLate", "protector_feed_lag_seconds > 120", "10m", "warning",
          "Audit events are more than two minutes old when they arrive.",
          "Shorten the webhook's batch wait, or see what holds batches up."),
    Alert("ProtectorPartUnanswered", "protector_up == 0", "2m", "critical",
          "Part {{ $labels.part }} does not answer.", "Look at /actors for what fails or falls behind."),
    Alert("ProtectorClusterNotSynced", "protector_cluster_synced == 0", "10m", "warning",
          "Objects of kind {{ $labels.kind }} were never read to the end.",
          "Unexplained reads are not reported until then. See the log for what the source says."),
    Alert("ProtectorWindowFull", "increase(protector_evicted_observations_total[10m]) > 0", "0m", "warning",
          "The window let go of observations that were still live.", "Raise PROTECTOR_MAX_OBSERVATIONS."),
    Alert("ProtectorFallingBehind", "protector_mailbox_depth / protector_mailbox_capacity > 0.8", "5m", "warning",
          "The mailbox of {{ $labels.actor }} is nearly full.", "Look at /actors; give the process more CPU."),
    Alert("ProtectorMailboxOverflow", "increase(protector_mailbox_overflows_total[10m]) > 0", "0m", "warning",
          "The mailbox of {{ $labels.actor }} overflowed.", "Nothing is lost for good, but answers come late."),
    Alert("ProtectorRestarts", "increase(protector_actor_restarts_total[10m]) > 3", "0m", "warning",
          "{{ $labels.actor }} keeps failing.", "Its last failure is on /actors."),
    Alert("ProtectorStoreUnavailable", "increase(protector_store_unavailable_total[10m]) > 0", "0m", "critical",
          "Batches were refused because they could not be made durable.", "See the disk of the state directory."),
    Alert("ProtectorHistoryFull", 'increase(protector_store_overflows_total{part="history"}[1h]) > 0', "0m", "info",
          "History has no room for new rows: nothing is called a first read any more.", "Lower PROTECTOR_HISTORY_DAYS."),
    Alert("ProtectorModelDisagrees", "increase(protector_model_disagreements_total[1h]) > 0", "0m", "info",
          "The API server named a grant that the model does not have.",
          "A snapshot that is old, another authorizer, or a fault of the model: please report that one."),
)  # fmt: skip
"""In the order of what to look at first."""

PANELS_A_ROW: Final = 3
PANEL_WIDTH: Final = 24 // PANELS_A_ROW
PANEL_HEIGHT: Final = 7
ROWS: Final = (
    ("Findings", r"chains|evidence|unexplained|gone|model"),
    ("Audit feed", r"feed|batches|duplicate|events|reads|new_|borrowed|late|evicted|dropped|observations"),
    ("Actors", r"mailbox|messages|actor"),
    ("Cluster", r"cluster"),
    ("Store", r"store"),
    ("Process and faces", r""),
)
"""Rows of the dashboard, and which families go there, by the beginning of their name; the first that fits."""


def unknown_metrics(families: Iterable[Metric]) -> set[str]:
    """Names in the alerts that no family has."""
    known = {name for family in families for name in _series(family)}
    named = {name for alert in ALERTS for name in re.findall(r"protector_\w+", alert.expression)}
    return named - known


def _series(family: Metric) -> tuple[str, ...]:
    return (f"{family.name}_total",) if family.type == "counter" else (family.name,)


def alert_rules() -> str:
    """A rule file, YAML."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.lasting,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.what_to_do},
        }
        for alert in ALERTS
    ]
    head = "# Made of web/monitoring.py: UPDATE_MONITORING=1 with tests/web/test_monitoring.py writes this file.\n"
    document = {"groups": [{"name": "protector", "rules": rules}]}
    return head + yaml.safe_dump(document, sort_keys=False, width=132, allow_unicode=True)


def dashboard(families: Sequence[Metric]) -> str:
    """A dashboard to import, JSON. The data source and the cluster are variables."""
    panels: list[dict[str, Any]] = []
    left, y = sorted(families, key=lambda family: family.name), 0
    for title, beginning in ROWS:
        pattern = re.compile(f"protector_(?:{beginning})")
        here = [family for family in left if pattern.match(family.name)]
        left = [family for family in left if family not in here]
        if not here:
            continue
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        y += 1
        for number, family in enumerate(here):
            row, column = divmod(number, PANELS_A_ROW)
            panels.append(_panel(family, column * PANEL_WIDTH, y + row * PANEL_HEIGHT))
        y += -(-len(here) // PANELS_A_ROW) * PANEL_HEIGHT
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    document = {
        "uid": "protector",
        "title": "protector",
        "tags": ["protector"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "label": "Instance",
                    "type": "query",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "query": {"query": "label_values(protector_build_info, instance)", "refId": "instance"},
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                },
            ]
        },
        "panels": panels,
    }
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


def _panel(family: Metric, x: int, y: int) -> dict[str, Any]:
    (series,) = _series(family)
    chosen = f'{series}{{instance=~"$instance"}}'
    counts = family.type == "counter"
    labels = sorted({name for sample in family.samples for name in sample.labels})
    unit = "s" if family.name.endswith("_seconds") and "timestamp" not in family.name else "short"
    return {
        "type": "timeseries",
        "title": family.name.removeprefix("protector_").replace("_", " "),
        "description": family.documentation,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": PANEL_HEIGHT, "w": PANEL_WIDTH, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": "ops" if counts else unit}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "expr": f"rate({chosen}[$__rate_interval])" if counts else chosen,
                "legendFormat": " ".join(f"{{{{{name}}}}}" for name in labels) or "{{instance}}",
            }
        ],
    }
