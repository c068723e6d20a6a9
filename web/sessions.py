"""Viewer sessions and the bound on wrong tokens: what a login trades a token for. Pure; time comes in as `now` (epoch seconds).

A session is a random id in a cookie and its expiry here: no token in it, and gone with the process. Counterpart: web/gate.py.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections import OrderedDict
from typing import Final

from msgspec import Struct

__all__ = ["Failures", "Sessions", "SessionsStatistics", "statistics"]

SESSIONS_MAX: Final = 256
"""Sessions at one time. Overflow: the oldest ends, counted."""
SESSION_TTL_S: Final = 12 * 3600.0
"""How long a login lasts."""
FAILURES_BURST: Final = 10
"""Wrong tokens of one peer before it has to wait."""
FAILURE_REFILL_S: Final = 6.0
"""One more try after so many seconds."""
PEERS_MAX: Final = 1024
"""Peers with failures that are remembered. Overflow: the one that failed longest ago is forgotten, counted."""


class SessionsStatistics(Struct, frozen=True):
    """Sessions and failures, counted since the start."""

    sessions: int
    opened: int
    evicted: int
    failures: int
    limited: int
    peers: int
    peers_forgotten: int


class Sessions:
    """Open sessions. Keys are digests of the ids, so that neither memory nor timing gives an id away."""

    def __init__(self, *, sessions_max: int = SESSIONS_MAX, ttl_s: float = SESSION_TTL_S) -> None:
        self.ttl_s = ttl_s
        self.opened = 0
        self.evicted = 0
        self._sessions_max = sessions_max
        self._expires_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._expires_at)

    def open(self, now: float) -> str:
        """A new session's id."""
        self._drop_expired(now)
        while len(self._expires_at) >= self._sessions_max:
            self._expires_at.popitem(last=False)
            self.evicted += 1
        session_id = secrets.token_urlsafe(32)
        self._expires_at[_digest(session_id)] = now + self.ttl_s
        self.opened += 1
        return session_id

    def holds(self, session_id: str, now: float) -> bool:
        """Whether this is the id of an open session."""
        return self._expires_at.get(_digest(session_id), 0.0) > now

    def end(self, session_id: str) -> None:
        """Ends it, if it is one."""
        self._expires_at.pop(_digest(session_id), None)

    def end_all(self) -> None:
        """Ends every session: the tokens they were traded for may count no more."""
        self._expires_at.clear()

    def _drop_expired(self, now: float) -> None:
        while self._expires_at and next(iter(self._expires_at.values())) <= now:
            self._expires_at.popitem(last=False)


class Failures:
    """A bucket of wrong tokens for each peer: FAILURES_BURST at once, then one every FAILURE_REFILL_S."""

    def __init__(self, *, peers_max: int = PEERS_MAX) -> None:
        self.counted = 0
        self.limited = 0
        self.forgotten = 0
        self._peers_max = peers_max
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """(failures that still count, when), least recent first."""

    def __len__(self) -> int:
        return len(self._spent)

    def wait_s(self, peer: str, now: float) -> float:
        """0.0 if this peer may try a token, otherwise after how many seconds it may (counted)."""
        over = self._level(_network(peer), now) - (FAILURES_BURST - 1)
        if over <= 0:
            return 0.0
        self.limited += 1
        return over * FAILURE_REFILL_S

    def count(self, peer: str, now: float) -> None:
        """This peer brought a wrong token."""
        key = _network(peer)
        self.counted += 1
        self._spent[key] = (self._level(key, now) + 1.0, now)
        self._spent.move_to_end(key)
        if len(self._spent) > self._peers_max:
            self._spent.popitem(last=False)
            self.forgotten += 1

    def _level(self, key: str, now: float) -> float:
        level, at = self._spent.get(key, (0.0, now))
        return max(0.0, level - max(0.0, now - at) / FAILURE_REFILL_S)


def statistics(sessions: Sessions, failures: Failures) -> SessionsStatistics:
    """Sessions and failures, counted since the start."""
    return SessionsStatistics(
        sessions=len(sessions),
        opened=sessions.opened,
        evicted=sessions.evicted,
        failures=failures.counted,
        limited=failures.limited,
        peers=len(failures),
        peers_forgotten=failures.forgotten,
    )


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape")).digest()


def _network(peer: str) -> str:
    """One host: an IPv6 peer counts with its /64, of which it can take any address."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
