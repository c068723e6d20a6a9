"""Bodies of reports to observations and drop reasons. Pure. One bad item never costs its neighbours.

`POST /behavior`: a JSON array of observations (evidence/behavior.py), or an object that holds it under `observations`, as later
agents send it. `POST /`: one Falco alert as Falcosidekick posts it; nothing of its `output` and of its other fields is decoded:
command lines hold passwords.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct, field

from actors.evidence import Alert, BehaviorObservation, SecretRead, decode_observations
from actors.evidence.behavior import TEXT_LEN_MAX, Text

ITEMS_MAX: Final = 4096
"""Observations of one body; those beyond it are dropped, counted `over_limit`."""
FALCO_PRIORITIES: Final = frozenset({"critical", "alert", "emergency"})
"""Which of Falco's priorities are alerts here (case does not matter: both spellings are seen)."""


class Report(Struct, frozen=True):
    """What one body held."""

    events: int
    observations: tuple[BehaviorObservation, ...]
    dropped: dict[str, int]
    error: str | None = None


class _Envelope(Struct):
    observations: msgspec.Raw


class _OutputFields(Struct):
    namespace: Text | None = field(name="k8s.ns.name", default=None)
    pod: Text | None = field(name="k8s.pod.name", default=None)


class _FalcoAlert(Struct):
    rule: str
    priority: str
    time: str | None = None
    output_fields: _OutputFields | None = None


_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
_envelope: Final = msgspec.json.Decoder(_Envelope)
_observation: Final = msgspec.json.Decoder(BehaviorObservation)
_falco: Final = msgspec.json.Decoder(_FalcoAlert)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder says of garbage; msgspec lets the last two through as they are."""


def read_report(body: bytes) -> Report:
    """The observations of an agent's report. A read that claims the API server as its source is refused, counted."""
    try:
        observations = decode_observations(body)
    except msgspec.DecodeError:
        return _one_by_one(body)
    return _judged(
        len(observations), observations[:ITEMS_MAX], Counter(over_limit=max(0, len(observations) - ITEMS_MAX))
    )


def _one_by_one(body: bytes) -> Report:
    try:
        items = _items.decode(_envelope.decode(body).observations if body.lstrip()[:1] == b"{" else body)
    except _UNREADABLE:
        return Report(0, (), {}, "not a JSON array of observations")
    found: list[BehaviorObservation] = []
    dropped = Counter(over_limit=max(0, len(items) - ITEMS_MAX))
    for item in items[:ITEMS_MAX]:
        try:
            found.append(_observation.decode(item))
        except _UNREADABLE:
            dropped["malformed"] += 1
    return _judged(len(items), tuple(found), dropped)


def _judged(events: int, found: tuple[BehaviorObservation, ...], dropped: Counter[str]) -> Report:
    kept = tuple(
        each for each in found if not (isinstance(each.behavior, SecretRead) and each.behavior.source == "api")
    )
    dropped["api_source"] += len(found) - len(kept)
    return Report(events, kept, {reason: count for reason, count in dropped.items() if count})


def read_falco(body: bytes) -> Report:
    """One alert of Falco: an observation if its priority is high and it names a pod, else a drop reason."""
    try:
        alert = _falco.decode(body)
    except _UNREADABLE:
        return Report(0, (), {}, "not a Falco alert")
    fields = alert.output_fields
    if alert.priority.lower() not in FALCO_PRIORITIES:
        return Report(1, (), {"priority": 1})
    if fields is None or not fields.namespace or not fields.pod:
        return Report(1, (), {"no_pod": 1})
    return Report(
        1,
        (
            BehaviorObservation(
                namespace=fields.namespace,
                pod=fields.pod,
                source="falco",
                observed_at_ms=_ms(alert.time),
                behavior=Alert(alert.rule[:TEXT_LEN_MAX]),
            ),
        ),
        {},
    )


def _ms(time: str | None) -> int | None:
    """RFC 3339 with any number of digits, as Falco writes it; None where it cannot be read."""
    if time is None:
        return None
    try:
        at: datetime = msgspec.convert(time, datetime)
    except msgspec.ValidationError:
        return None
    return max(0, int(at.timestamp() * 1000)) if at.tzinfo is not None else None
