"""Metric families from records: names, kinds, and what is left out."""

from __future__ import annotations

from msgspec import Struct

from web.families import LABELS_MAX, bounded, of_counts, of_records


class Some(Struct, frozen=True):
    """Statistics with one of each."""

    name: str = "x"
    rows: int = 3
    connections: int = 4
    connections_total: int = 9
    worst_s: float = 0.5
    overflows: int = 1
    is_open: bool = True
    since: float | None = None
    failures: dict[str, int] = {}


def test_kinds_and_names():
    """Numbers become gauges or counters by what they are; the rest is left out."""
    families = of_records("store", "part", {"a": (Some(),), "b": (Some(rows=5),)})
    kinds = {family.name: family.type for family in families}
    assert kinds == {
        "protector_store_rows": "gauge",
        "protector_store_connections": "gauge",
        "protector_store_connections_served": "counter",
        "protector_store_worst_seconds": "gauge",
        "protector_store_overflows": "counter",
        "protector_store_is_open": "gauge",
    }
    rows = next(family for family in families if family.name == "protector_store_rows")
    assert [(sample.labels["part"], sample.value) for sample in rows.samples] == [("a", 3.0), ("b", 5.0)]


def test_labels_are_bounded():
    """Words over the bound, and what is no word, are put together."""
    kept = dict(bounded([(f"reason_{n:03}", 1.0) for n in range(LABELS_MAX + 5)] + [("no word", 2.0)]))
    assert len(kept) == LABELS_MAX
    assert sum(kept.values()) == LABELS_MAX + 5 + 2.0


def test_counts_are_labelled_by_the_first_word_of_their_keys():
    """Who was admitted, without the names behind it; and a bound on how many."""
    many = {f"k{n:03}": 1 for n in range(LABELS_MAX + 5)}
    some = {"a": (Some(failures={"token-1": 2, "certificate x": 3, "certificate y": 4}),), "b": (Some(failures=many),)}
    samples = of_counts("listener", "listener", "failures", "credential", some).samples
    a = {sample.labels["credential"]: sample.value for sample in samples if sample.labels["listener"] == "a"}
    b = {sample.labels["credential"]: sample.value for sample in samples if sample.labels["listener"] == "b"}
    assert a == {"token-1": 2, "certificate": 7}
    assert (len(b), b["other"]) == (LABELS_MAX + 1, 5)
