"""The store: the TTL window of reads, its journal, history. Pure core (window.py, ledger.py), journals, and the store's actor.

Inside: sources, key -> watches -> entry -> calendar, partition -> entries -> window; window, history, digests -> ledger; records ->
journal -> senders, queries -> tally -> memory, ledger; database -> sqlite; ledger, journal -> writer -> actor. Only writer and actor
know the runtime.
"""

from __future__ import annotations

from actors.store.actor import StoreActor
from actors.store.digests import Digests, DigestStatistics
from actors.store.entries import WindowStatistics
from actors.store.history import History, HistoryStatistics
from actors.store.journal import Journal, JournalError, JournalStatistics, JournalUnavailable
from actors.store.ledger import Ledger
from actors.store.memory import MemoryJournal
from actors.store.queries import (
    ActorStatistics,
    HistoryAnswer,
    HistoryPage,
    HistoryPageQuery,
    HistoryQuery,
    SenderStatus,
    StoreCounts,
    StoreStatus,
    StoreStatusQuery,
)
from actors.store.records import HistoryRow
from actors.store.sqlite import SqliteJournal
from actors.store.window import Window

__all__ = [
    "ActorStatistics",
    "DigestStatistics",
    "Digests",
    "History",
    "HistoryAnswer",
    "HistoryPage",
    "HistoryPageQuery",
    "HistoryQuery",
    "HistoryRow",
    "HistoryStatistics",
    "Journal",
    "JournalError",
    "JournalStatistics",
    "JournalUnavailable",
    "Ledger",
    "MemoryJournal",
    "SenderStatus",
    "SqliteJournal",
    "StoreActor",
    "StoreCounts",
    "StoreStatus",
    "StoreStatusQuery",
    "Window",
    "WindowStatistics",
]
