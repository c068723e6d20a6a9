"""What the event stream says of new evidence has the fields that every line of the flip log begins with."""

from __future__ import annotations

import json
from collections.abc import Callable

from actors.evidence import Account
from web.app import _publish_evidence
from web.events import EventHub


class Keeping(EventHub):
    """A hub that keeps what is published, as a stream would say it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def publish(self, name: str, data: str | Callable[[], str]) -> str:
        self.said.append((name, data if isinstance(data, str) else data()))
        return super().publish(name, data)


def test_new_evidence_is_announced_with_time_event_and_cluster() -> None:
    """One line: when, what, in which cluster, of whom, how much."""
    hub = Keeping()
    _publish_evidence(hub, Account("app", "reader-sa"), 2, "prod")
    [(name, line)] = hub.said
    data = json.loads(line)
    assert data.pop("at").endswith("Z")
    assert (name, data) == (
        "evidence.new",
        {"event": "evidence.new", "cluster": "prod", "service_account": "app/reader-sa", "new": 2},
    )
