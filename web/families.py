"""Metric families from numbers and from whole `statistics()` records, under the records' own field names. Pure.

Counterpart: web/metrics.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

__all__ = ["GAUGES", "LABELS_MAX", "WORD", "bounded", "counter", "gauge", "of_counts", "of_records"]

LABELS_MAX: Final = 64
"""Values of one label (reasons). Overflow: put together under "other"."""
WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
"""What may be a label's value, where it is not written in this project's code."""
GAUGES: Final = frozenset(
    {
        "accounts", "body_bytes", "body_bytes_max", "body_bytes_peak", "bound", "bytes", "capacity", "connections",
        "connections_peak", "digests", "draining", "following", "in_flight", "largest_group", "lingering", "observations", "peers",
        "pending_batches", "pending_reads", "records", "rows", "since", "tls", "unread_bytes", "version",
    }
)  # fmt: skip
"""Fields of statistics that can fall, beside all that are durations; every other number there only rises."""


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(f"protector_{name}", text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """A counter without labels."""
    return CounterMetricFamily(f"protector_{name}", text, value=value)


def bounded(pairs: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """The pairs by name; names that are no plain words, and those over LABELS_MAX, are put together."""
    kept: dict[str, float] = {}
    for name, value in sorted(pairs):
        label = name if WORD.fullmatch(name) and len(kept) < LABELS_MAX else "other"
        kept[label] = kept.get(label, 0) + value
    return list(kept.items())


def of_records(
    prefix: str, label: str, records: Mapping[str, Sequence[Struct]]
) -> list[GaugeMetricFamily | CounterMetricFamily]:
    """A family of each number in these records; `label` tells whose it is. Texts, tuples and mappings in them are left out."""
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
    for owner, some in sorted(records.items()):
        for record in some:
            for name in record.__struct_fields__:
                value = getattr(record, name)
                if isinstance(value, int | float):
                    full = f"{prefix}_{_written(name)}"
                    if full not in families:
                        can_fall = name in GAUGES or name.endswith("_s") or isinstance(value, bool)
                        made = GaugeMetricFamily if can_fall else CounterMetricFamily
                        text = f"{name} of the {label}'s statistics."
                        families[full] = made(f"protector_{full}", text, labels=[label])
                    families[full].add_metric([owner], float(value))
    return list(families.values())


def of_counts(
    prefix: str, label: str, field: str, by: str, records: Mapping[str, Sequence[Struct]]
) -> CounterMetricFamily:
    """What the mappings of this field count by their keys, whose first word is the value of the label `by`."""
    family = CounterMetricFamily(
        f"protector_{prefix}_{field}", f"{field} of the {label}'s statistics.", labels=[label, by]
    )
    for owner, some in sorted(records.items()):
        counts: Counter[str] = Counter()
        for record in some:
            for key, count in getattr(record, field, {}).items():
                word = str(key).partition(" ")[0]
                counts[word if word in counts or len(counts) < LABELS_MAX else "other"] += count
        for word, count in sorted(counts.items()):
            family.add_metric([owner, word], count)
    return family


def _written(name: str) -> str:
    """The field's name by Prometheus's conventions: seconds in full, `_total` left to the counter."""
    if name == "connections_total":
        return "connections_served"  # beside the gauge of those that are open
    return f"{name[:-2]}_seconds" if name.endswith("_s") else name.removesuffix("_total")
