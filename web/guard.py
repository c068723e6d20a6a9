"""Who may post, how often, and how much of it is held in memory. A pure core: every time comes in as `now` (any monotonic clock).

Known credentials have a bucket per (credential, peer); failures have one of their own per peer, so that wrong tokens from the
API server's own address cost its batches nothing. Counterparts: web/ingest.py calls it in the order of its answers;
web/credentials.py knows the tokens.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from web.credentials import bearer

__all__ = [
    "FAILURES_BURST",
    "FAILURES_PER_S",
    "PEERS_MAX",
    "RETRY_AFTER_S",
    "WAIT_MAX_S",
    "Admitted",
    "BodyBudget",
    "Buckets",
    "Guard",
    "GuardStatistics",
    "OverRate",
    "Unauthorized",
    "peer_of",
]

PEERS_MAX: Final = 4096
"""Buckets of each kind. Over it the one that was used longest ago is forgotten; counted if it was not full again."""
WAIT_MAX_S: Final = 5.0
"""Longest wait for room before 429: an API server's own deadline is 30 s, and an error costs it one of five attempts."""
RETRY_AFTER_S: Final = 5
"""What 429 and 503 tell: client-go then tries again within the same attempt (in whole seconds; anything else is ignored)."""
FAILURES_PER_S: Final = 1.0
"""Wrong or missing tokens a second of one peer, on average, before its connections are closed after the 401."""
FAILURES_BURST: Final = 20
"""How many at once: a rotation that reaches the sender late is a handful of batches."""


class TokenCheck(Protocol):
    """What is needed of web/credentials.py."""

    def check(self, token: bytes) -> str | None:
        """The credential's name, or None."""
        ...


class Admitted(Struct, frozen=True):
    """A known credential. `wait_s`: come in only after so many seconds; the room for it is taken already."""

    credential: str
    wait_s: float = 0.0


class Unauthorized(Struct, frozen=True):
    """401. `close`: this peer is over the rate of failures, so its connection ends with the answer."""

    close: bool


class OverRate(Struct, frozen=True):
    """429: there will be no room within WAIT_MAX_S."""

    credential: str


class GuardStatistics(Struct, frozen=True, kw_only=True):
    """Counts since the start; `admitted` by credential; bytes are of bodies held now, at most so far, and the bound."""

    admitted: dict[str, int]
    waited: int
    over_rate: int
    unauthorized: int
    closed: int
    peers: int
    forgotten: int
    body_bytes: int
    body_bytes_peak: int
    body_bytes_max: int
    bodies_refused: int


class Buckets:
    """Token buckets by key, as one number each: when the bucket will be full again (the virtual scheduling of ATM's GCRA).

    A taker that has to wait has its place at once, so that waiters come in in their order and none is overtaken.
    """

    def __init__(self, rate_per_s: float, burst: int, keys_max: int = PEERS_MAX) -> None:
        self._interval_s = 1.0 / rate_per_s
        self._tolerance_s = (burst - 1) * self._interval_s
        self._keys_max = keys_max
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Hashable, now: float, wait_max_s: float = 0.0) -> float | None:
        """Seconds to wait for the place that is taken with this, 0 where there is room; None, and none taken, beyond the bound."""
        full_at = max(self._full_at.get(key, now), now)
        wait_s = max(0.0, full_at - self._tolerance_s - now)
        if wait_s > wait_max_s:
            return None
        self._full_at[key] = full_at + self._interval_s
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._keys_max:
            _, oldest = self._full_at.popitem(last=False)
            self.forgotten += oldest > now
        return wait_s

    def has_room(self, key: Hashable, now: float) -> bool:
        """Whether `take` would give a place without a wait."""
        return self._full_at.get(key, now) - self._tolerance_s <= now


class BodyBudget:
    """Bytes of bodies in memory at a time, over all requests. Over it: 503, and the rest of the body is not taken in."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.in_use = self.peak = self.refused = 0

    @property
    def is_full(self) -> bool:
        """Whether a further body could not even begin."""
        return self.in_use >= self.bytes_max

    def take(self, count: int) -> bool:
        """Whether there is room for so many bytes more; they are counted if so."""
        if self.in_use + count > self.bytes_max:
            self.refused += 1
            return False
        self.in_use += count
        self.peak = max(self.peak, self.in_use)
        return True

    def give(self, count: int) -> None:
        """So many are no longer held."""
        self.in_use -= count


class Guard:
    """The doors of one ingest listener."""

    def __init__(
        self,
        tokens: TokenCheck,
        *,
        rate_per_s: float,
        burst: int,
        max_body_bytes: int,
        bodies_bytes_max: int | None = None,
    ) -> None:
        self._tokens = tokens
        self._known = Buckets(rate_per_s, burst)
        self._failing = Buckets(FAILURES_PER_S, FAILURES_BURST)
        self.bodies = BodyBudget(bodies_bytes_max or max(4 * max_body_bytes, 64 << 20))
        self._admitted: Counter[str] = Counter()
        self._waited = self._over_rate = self._unauthorized = self._closed = 0

    def admit(
        self, authorization: Sequence[bytes], peer: str, now: float, certificate: str | None = None
    ) -> Admitted | Unauthorized | OverRate:
        """Judges one request by its Authorization headers (exactly one counts) and its peer's address.

        `certificate`: the credential that the connection has of itself, used where there is no right token.
        """
        token = bearer(authorization[0]) if len(authorization) == 1 else None
        credential = self._tokens.check(token or b"")
        if token is None or credential is None:
            credential = certificate
        if credential is None:
            self._unauthorized += 1
            is_over = self._failing.take(network_of(peer), now) is None
            self._closed += is_over
            return Unauthorized(close=is_over)
        wait_s = self._known.take((credential, peer), now, WAIT_MAX_S)
        if wait_s is None:
            self._over_rate += 1
            return OverRate(credential)
        self._admitted[credential] += 1
        self._waited += wait_s > 0.0
        return Admitted(credential, wait_s)

    def refuses(self, authorization: bytes | None, peer: str, now: float) -> bool:
        """Whether `admit` would say Unauthorized(close=True) to this (without a certificate); counted if so, nothing if not."""
        if self._tokens.check(bearer(authorization) or b"") is not None or self._failing.has_room(
            network_of(peer), now
        ):
            return False
        self._unauthorized += 1
        self._closed += 1
        return True

    def statistics(self) -> GuardStatistics:
        """Counts since the start."""
        return GuardStatistics(
            admitted=dict(self._admitted),
            waited=self._waited,
            over_rate=self._over_rate,
            unauthorized=self._unauthorized,
            closed=self._closed,
            peers=max(len(self._known), len(self._failing)),
            forgotten=self._known.forgotten + self._failing.forgotten,
            body_bytes=self.bodies.in_use,
            body_bytes_peak=self.bodies.peak,
            body_bytes_max=self.bodies.bytes_max,
            bodies_refused=self.bodies.refused,
        )


def peer_of(client: Sequence[object] | None) -> str:
    """The peer's address from ASGI's `client`: the other end of the socket, never a header; IPv4 inside IPv6 as IPv4."""
    if not client:
        return ""
    address = str(client[0]).partition("%")[0]
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address


def network_of(peer: str) -> str:
    """What failures are counted by: an IPv4 address, or the /64 of an IPv6 one, since its holder has all of that."""
    if ":" not in peer:
        return peer
    try:
        return str(ipaddress.ip_network(f"{peer}/64", strict=False))
    except ValueError:
        return peer
