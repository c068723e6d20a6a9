"""Which live reads claim which pod, and which of them wait to be attributed again because pods changed. Pure; counterpart: state.py."""

from __future__ import annotations

from itertools import islice

from actors.attribution.roster import Moved
from actors.evidence import Observation, ObservationKey


class Claims:
    """The keys of one account's live observations by the pod that they name, and what is to be looked at again."""

    def __init__(self) -> None:
        self._by_uid: dict[str, dict[ObservationKey, None]] = {}
        self._by_name: dict[str, dict[ObservationKey, None]] = {}
        """Those that name no uid."""
        self._unclaimed: dict[ObservationKey, None] = {}
        self._due: dict[ObservationKey, None] = {}
        """Claims of pods that changed."""
        self._round: dict[ObservationKey, None] = {}
        """What is left of a look at all that claim no pod."""
        self._another_round = False
        """Pods changed since it began."""

    @property
    def due(self) -> int:
        """How many that claim a pod wait."""
        return len(self._due)

    @property
    def waiting(self) -> bool:
        """Whether some that claim no pod wait."""
        return self._another_round or bool(self._round)

    def put(self, observation: Observation) -> None:
        """A new observation."""
        key, claim = observation.key, observation.last.claim
        if claim is None or (claim.uid is None and claim.name is None):
            self._unclaimed[key] = None
        elif claim.uid is not None:
            self._by_uid.setdefault(claim.uid, {})[key] = None
        else:
            self._by_name.setdefault(claim.name or "", {})[key] = None

    def drop(self, observation: Observation) -> None:
        """It is held no longer."""
        key, claim = observation.key, observation.last.claim
        self.attributed(key)
        if claim is None or (claim.uid is None and claim.name is None):
            del self._unclaimed[key]
            return
        index, name = (self._by_name, claim.name or "") if claim.uid is None else (self._by_uid, claim.uid)
        keys = index[name]
        del keys[key]
        if not keys:
            del index[name]

    def is_due(self, key: ObservationKey) -> bool:
        """Whether what was said of it may be no longer true."""
        return key in self._due

    def attributed(self, key: ObservationKey) -> None:
        """It was, to the pods as they are now."""
        if self._due:
            self._due.pop(key, None)
        if self._round:
            self._round.pop(key, None)

    def moved(self, moved: Moved) -> None:
        """These pods changed."""
        for uid in moved.uids:
            self._due.update(self._by_uid.get(uid, {}))
        for name in moved.names:
            self._due.update(self._by_name.get(name, {}))
        self._another_round |= moved.unclaimed and bool(self._unclaimed)

    def take(self, claimed: int | None, unclaimed: int | None) -> tuple[list[ObservationKey], int]:
        """So many at most of either kind that are to be attributed again (None: all), and how many of them claim no pod."""
        keys = list(islice(self._due, claimed))
        for key in keys:
            del self._due[key]
        if unclaimed == 0:
            return keys, 0
        if not self._round and self._another_round:
            self._round, self._another_round = dict(self._unclaimed), False
        looks = list(islice(self._round, unclaimed))
        for key in looks:
            del self._round[key]
        if unclaimed is None and self._another_round:
            self._another_round = False
            looks = list(self._unclaimed)
        return keys + looks, len(looks)
