"""Who sends batches, and how far behind or ahead of our clock they are. Counterpart: actor.py."""

from __future__ import annotations

from typing import Final

from actors.messages import ParsedBatch
from actors.store.queries import SenderStatus
from actors.store.records import is_probe, lag_of

SENDERS_MAX: Final = 64
"""Senders remembered. Beyond: the one that was silent longest is forgotten."""


class Senders:
    """The last batch of each sender."""

    def __init__(self) -> None:
        self._senders: dict[str, SenderStatus] = {}
        self.replaced = 0
        self.last_batch_at: float | None = None
        self.lag_s: float | None = None
        self.allowance_s = 0.0
        """Of the last batch of this process; before there is one nobody knows, and none is made."""

    def remember(self, last_batch_at: float | None, lag_s: float | None) -> None:
        """What the journal knows of an earlier process, or was given just before a crash; who sent it is not kept."""
        if last_batch_at is not None and last_batch_at > (self.last_batch_at or 0.0):
            self.last_batch_at, self.lag_s = last_batch_at, lag_s

    def heard(self, batch: ParsedBatch) -> None:
        """This batch was accepted, or was a repeated one."""
        if is_probe(batch):
            return
        lag_s = skew_s = None
        if batch.newest_at is not None:
            lag_s, skew_s = lag_of(batch.received_at, batch.newest_at), lag_of(batch.newest_at, batch.received_at)
            self.lag_s = lag_s
        self.allowance_s = batch.allowance_s
        self.last_batch_at = max(self.last_batch_at or 0.0, batch.received_at)
        self._senders.pop(batch.peer, None)
        self._senders[batch.peer] = SenderStatus(batch.peer, batch.received_at, lag_s, skew_s)
        if len(self._senders) > SENDERS_MAX:
            del self._senders[next(iter(self._senders))]
            self.replaced += 1

    def all(self) -> tuple[SenderStatus, ...]:
        """The senders, the latest last."""
        return tuple(self._senders.values())
