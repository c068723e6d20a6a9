"""What an account's actor holds: its live evidence, and what of it the engine has not been told yet. Pure.

Theory of operation: the store's changes and the account's pods go in, EvidenceChanged comes out, in parts where it is
much. Everything is attributed again when the pods changed, and only what differs is sent. Each message builds on the one
before it (`base`, `version`); after `full` anything may have been lost before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.attribution.core import Roster, attribute, attribute_again
from actors.evidence import Account, Attribution, Evidence, ObservationKey
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
        self._attributed = 0
        self._sent = 0
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
    def looked(self) -> int:
        """Pods and pieces of evidence that a change of the pods makes it look at."""
        return len(self._evidence) + (0 if self._roster is None else len(self._roster))

    @property
    def needs_pods(self) -> bool:
        """Whether the pods were never given."""
        return self._roster is None

    def update(
        self, changes: AccountChanges, pods: AccountPods | None, now: float, *, full: bool = False
    ) -> tuple[EvidenceChanged, ...]:
        """Takes in what the store and (if they changed) the cluster have; what the engine must hear, in its order.

        The first `pods` of all must be given. `full`: the engine gets everything, whatever it had. `now`: epoch seconds.
        """
        first = self._sent_version == 0
        before = self._evidence
        if pods is not None:
            self._roster = Roster(pods)
        if self._roster is None:
            raise ValueError("the first update needs the account's pods")
        held, fresh = self._merged(changes, everything=pods is not None, now=now)
        self.epoch, self.version, self._evidence = changes.epoch, changes.version, held
        if full or first:
            return self._messages(tuple(held.values()), (), full=True)
        if changes.full or pods is not None:
            fresh = [e for key, e in held.items() if before.get(key) != e]
            ended = tuple(key for key in before if key not in held)
        else:
            ended = tuple([key for key in changes.ended if key not in held])
        return self._messages(tuple(fresh), ended, full=False) if fresh or ended else ()

    def _merged(
        self, changes: AccountChanges, *, everything: bool, now: float
    ) -> tuple[dict[ObservationKey, Evidence], list[Evidence]]:
        """What is held after these changes, and what of it was attributed for them. Changed in place where the change is
        small, so that its cost is too."""
        roster = self._roster
        assert roster is not None  # noqa: S101 - update checked it
        if changes.full:
            held: dict[ObservationKey, Evidence] = {}
        elif everything:
            held = {key: attribute(e.observation, roster, now) for key, e in self._evidence.items()}
            self._attributed += len(held)
        else:
            held = self._evidence
        for key in changes.ended:
            held.pop(key, None)
        latest, fresh = self._latest, []
        for observation in changes.observations:
            if observation.live_until > latest:
                latest = observation.live_until
            key = observation.key
            earlier = held.get(key)
            held[key] = evidence = (
                attribute(observation, roster, now)
                if earlier is None
                else attribute_again(earlier, observation, roster, now)
            )
            fresh.append(evidence)
        self._latest = latest
        self._attributed += len(fresh)
        return held, fresh

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
