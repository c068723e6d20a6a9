"""Which connections are open, of whom, and which of them has to go when there are too many.

Who only holds connections open must not keep others out, not even those that come from the same address. So a connection that never
had an answer of 200 to 299 makes room, the oldest first; one that had is never ended for another. A sender's new connection has
the time in which as many others come as the bound allows. Counterpart: web/listener/server.py.
"""

from __future__ import annotations

from web.listener.connection import Connection
from web.listener.limits import Counters, Limits

__all__ = ["Census"]


class Census:
    """The open connections of one listener, and their peers."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self._limits = limits
        self._counters = counters
        self._peers: dict[Connection, str] = {}
        self._unproven: dict[Connection, None] = {}
        """In the order in which they came."""
        self._of_peer: dict[str, dict[Connection, bool]] = {}
        """In the same order; whether it is proven."""
        self._leaving: set[Connection] = set()
        """Ended to make room; their tasks have not come to their ends."""

    @property
    def connections(self) -> frozenset[Connection]:
        """All whose task has not ended."""
        return frozenset(self._peers) | self._leaving

    @property
    def count(self) -> int:
        """How many there are, without those that were ended to make room."""
        return len(self._peers)

    def makes_room(self, peer: str) -> bool:
        """Whether a new connection of this peer may stay; counted if not, and counted what has to go for it."""
        counters = self._counters
        of_peer = self._of_peer.get(peer, {})
        if len(of_peer) >= self._limits.connections_per_peer:
            oldest = next((connection for connection, is_proven in of_peer.items() if not is_proven), None)
            if oldest is None:
                counters.refused_peer += 1
                return False
            self._evict(oldest)
        if len(self._peers) >= self._limits.connections:
            oldest = next(iter(self._unproven), None)
            if oldest is None:
                counters.refused_full += 1
                return False
            self._evict(oldest)
        return True

    def add(self, connection: Connection, peer: str) -> None:
        """A new connection."""
        self._peers[connection] = peer
        self._unproven[connection] = None
        self._of_peer.setdefault(peer, {})[connection] = False
        self._counters.connections_total += 1
        self._counters.connections_peak = max(self._counters.connections_peak, len(self._peers))

    def prove(self, connection: Connection) -> None:
        """It had an answer of 200 to 299."""
        if self._unproven.pop(connection, self) is None:
            self._of_peer[self._peers[connection]][connection] = True

    def remove(self, connection: Connection) -> None:
        """Its task has ended."""
        self._leaving.discard(connection)
        self._forget(connection)

    def _evict(self, connection: Connection) -> None:
        self._counters.evicted += 1
        self._forget(connection)
        self._leaving.add(connection)
        connection.abort()

    def _forget(self, connection: Connection) -> None:
        peer = self._peers.pop(connection, None)
        if peer is None:
            return
        self._unproven.pop(connection, None)
        of_peer = self._of_peer[peer]
        del of_peer[connection]
        if not of_peer:
            del self._of_peer[peer]
