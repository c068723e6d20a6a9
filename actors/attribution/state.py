"""What an account's actor holds: its live evidence, and what of it the engine has not been told yet. Pure.

Theory of operation: the store's changes and the account's pods go in, EvidenceChanged comes out, in parts where it is
much. When pods change, the evidence that claims one of them is attributed again, and in rounds that may be spread over time what
claims none; only what differs is sent. Each message builds on the one before it (`base`, `version`); after `full` anything may
have been lost before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.attribution.claims import Claims
from actors.attribution.core import attribute, attribute_again
from actors.attribution.roster import Roster
from actors.evidence import Account, Attribution, Evidence, Observation, ObservationKey
from actors.messages import AccountChanges, AccountPods, EvidenceChanged

PART_MAX: Final = 1000
"""Pieces of evidence in one message: the engine takes in so many without holding up anybody."""


class AccountStatistics(Struct, frozen=True):
    """What an account's actor holds and did."""

    live: int
    gone: int
    """Evidence whose claimed pod is unknown: tried again when the pods change."""
    pods: int
    attributed: int
    sent: int


class AccountEvidence:
    """The evidence of one account, kept in step with the store and the cluster."""

    def __init__(self, account: Account, incarnation: int = 0) -> None:
        self.account = account
        self._incarnation = incarnation
        self._sent_version = 0
        self._roster: Roster | None = None
        self._evidence: dict[ObservationKey, Evidence] = {}
        self._claims = Claims()
        self._attributed = 0
        self._sent = 0
        self.looked = 0
        """Pieces of evidence without a claim that were attributed again because pods changed, so far."""
        self.epoch = 0
        """Of the store, at its last answer; with `version` what to ask for next."""
        self.version = 0
        self._latest = 0.0
        """No evidence here is live for longer than this. What ended early leaves it too late until it is looked at."""

    @property
    def holds_any(self) -> bool:
        """Whether the store has anything of the account, as far as it said."""
        return bool(self._evidence)

    @property
    def due(self) -> int:
        """Pieces of evidence whose pod changed and that are not attributed again yet."""
        return self._claims.due

    @property
    def waiting(self) -> bool:
        """Whether evidence that claims no pod waits to be attributed to the pods as they are now."""
        return self._claims.waiting

    @property
    def pods_from(self) -> tuple[int, int]:
        """Epoch and version from which the next changes of the pods are asked for."""
        return (0, 0) if self._roster is None else (self._roster.epoch, self._roster.version)

    @property
    def needs_pods(self) -> bool:
        """Whether the pods were never given."""
        return self._roster is None

    def update(
        self,
        changes: AccountChanges,
        pods: AccountPods | None,
        now: float,
        *,
        full: bool = False,
        claimed: int | None = None,
        unclaimed: int | None = None,
    ) -> tuple[EvidenceChanged, ...]:
        """Takes in what the store and (if they changed) the cluster have; what the engine must hear, in its order.

        The first `pods` of all must be given. `full`: the engine gets everything, whatever it had. `now`: epoch seconds.
        `claimed`, `unclaimed`: so many pieces of evidence at most are attributed again because pods changed (None: all that wait);
        the rest is left to the next calls.
        """
        first = self._sent_version == 0
        if pods is not None:
            self._take_pods(pods)
        if self._roster is None:
            raise ValueError("the first update needs the account's pods")
        before = self._evidence
        if changes.full:
            self._evidence, self._claims = {}, Claims()
        self._end(changes.ended)
        fresh = self._attribute(changes.observations, now)
        again = self._attribute_due(claimed, unclaimed, now)
        self.epoch, self.version, held = changes.epoch, changes.version, self._evidence
        if full or first:
            return self._messages(tuple(held.values()), (), full=True)
        if changes.full:
            fresh = [e for key, e in held.items() if before.get(key) != e]
            ended = tuple(key for key in before if key not in held)
        else:
            fresh += again
            ended = tuple([key for key in changes.ended if key not in held])
        return self._messages(tuple(fresh), ended, full=False) if fresh or ended else ()

    def _take_pods(self, pods: AccountPods) -> None:
        if self._roster is None:
            self._roster = Roster(pods)
        else:
            self._claims.moved(self._roster.change(pods))

    def _end(self, keys: Sequence[ObservationKey]) -> None:
        for key in keys:
            ended = self._evidence.pop(key, None)
            if ended is not None:
                self._claims.drop(ended.observation)

    def _attribute(self, observations: Sequence[Observation], now: float) -> list[Evidence]:
        """What the store says is new or changed. Changed in place, so that its cost is that of the change."""
        roster, held, claims = self._roster, self._evidence, self._claims
        assert roster is not None  # noqa: S101 - update checked it
        latest, fresh = self._latest, []
        for observation in observations:
            if observation.live_until > latest:
                latest = observation.live_until
            key = observation.key
            earlier = held.get(key)
            if earlier is None:
                evidence = attribute(observation, roster, now)
                claims.put(observation)
            elif claims.is_due(key):
                evidence = attribute(observation, roster, now)
                claims.attributed(key)
            else:
                evidence = attribute_again(earlier, observation, roster, now)
            held[key] = evidence
            fresh.append(evidence)
        self._latest = latest
        self._attributed += len(fresh)
        return fresh

    def _attribute_due(self, claimed: int | None, unclaimed: int | None, now: float) -> list[Evidence]:
        """Of what waits because pods changed, the pieces of evidence that are others now."""
        roster, held = self._roster, self._evidence
        assert roster is not None  # noqa: S101 - update checked it
        keys, looked = self._claims.take(claimed, unclaimed)
        self._attributed += len(keys)
        self.looked += looked
        found = []
        for key in keys:
            earlier = held[key]
            evidence = attribute(earlier.observation, roster, now)
            if evidence != earlier:
                held[key] = evidence
                found.append(evidence)
        return found

    def _messages(
        self, evidence: tuple[Evidence, ...], ended: tuple[ObservationKey, ...], *, full: bool
    ) -> tuple[EvidenceChanged, ...]:
        parts = [evidence[at : at + PART_MAX] for at in range(0, len(evidence), PART_MAX)] or [()]
        messages = []
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            base = (self._incarnation, self._sent_version)
            self._sent_version += 1
            version = (self._incarnation, self._sent_version)
            begins = full and number == 1
            messages.append(
                EvidenceChanged(self.account, base, version, begins, part, ended if last else (), more=not last)
            )
        self._sent += len(evidence)
        return tuple(messages)

    def end(self, now: float) -> float | None:
        """When (epoch seconds) to look again whether anything is live here; None when nothing is live at `now`.

        Never later than needed by what only grew: it is asked after every change, and a look at all evidence would make the
        account that reads most the most expensive.
        """
        if not self._evidence:
            return None
        if self._latest <= now:
            self._latest = max(e.observation.live_until for e in self._evidence.values())
        return self._latest if self._latest > now else None

    def statistics(self) -> AccountStatistics:
        """Counts, for pages and metrics."""
        return AccountStatistics(
            live=len(self._evidence),
            gone=sum(e.attribution is Attribution.GONE for e in self._evidence.values()),
            pods=0 if self._roster is None else len(self._roster),
            attributed=self._attributed,
            sent=self._sent,
        )


def joined(pages: Sequence[AccountChanges]) -> AccountChanges:
    """Changes that follow on one another as one: each says what changed since the one before it."""
    first, last = pages[0], pages[-1]
    if first is last:
        return first
    observations = {observation.key: observation for page in pages for observation in page.observations}
    ended: dict[ObservationKey, None] = {}
    for page in pages:
        for observation in page.observations:
            ended.pop(observation.key, None)
        for key in page.ended:
            observations.pop(key, None)
            ended[key] = None
    kept = () if first.full else tuple(ended)
    return replace(last, full=first.full, observations=tuple(observations.values()), ended=kept, since=first.since)
