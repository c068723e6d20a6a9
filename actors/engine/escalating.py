"""Which entries may escalate, in the order in which they are shown. Pure; counterparts: graph.py (in step), escalations.py (answers).

An entry is here once, however much its account may do: what an escalation leads to is looked up when somebody asks.
"""

from __future__ import annotations

from typing import TypeAlias

from sortedcontainers import SortedKeyList

from actors.engine.nodes import Entry
from actors.grants import ESCALATIONS_MAX

EntryPlace: TypeAlias = tuple[int, str, str, str, str, str]
"""Exposure, then workload and account by name."""


class Escalating:
    """Usable entries whose account has escalations. They say nothing that /api/chains answers, and no read changes anything here."""

    def __init__(self) -> None:
        self.entries: SortedKeyList[Entry, EntryPlace] = SortedKeyList(key=place_of_entry)
        self.total = 0
        """Escalations of all entries."""
        self.at_bound = 0
        """Entries that have as many as are kept of an account: there may be more."""

    def sync(self, entry: Entry) -> None:
        """The entry became usable or stopped, or its account has other escalations."""
        count = len(entry.account.escalations) if entry.usable else 0
        if count == entry.escalates:
            return
        if entry.escalates and not count:
            self.entries.remove(entry)
        elif not entry.escalates:
            self.entries.add(entry)
        self._count(entry, count)

    def take_out(self, entry: Entry) -> None:
        """Before its place changes; `sync` puts it back."""
        if entry.escalates:
            self.entries.remove(entry)
            self._count(entry, 0)

    def _count(self, entry: Entry, count: int) -> None:
        self.total += count - entry.escalates
        self.at_bound += (count >= ESCALATIONS_MAX) - (entry.escalates >= ESCALATIONS_MAX)
        entry.escalates = count


def place_of_entry(entry: Entry) -> EntryPlace:
    """Where the entry stands: the most exposed first."""
    workload, account = entry.node.workload, entry.account.account
    return (
        entry.node.exposure.rank, workload.namespace, workload.name, workload.kind, account.namespace, account.name,
    )  # fmt: skip
