"""The cluster as joined records, kept up to date one object at a time. Pure: no file, socket, clock; time comes in as `now`.

Two rules: an object's change touches what depends on it and nothing else (an owner its pods, a ServiceAccount its pods, a
Gateway its routes), and nothing that went is lost before `ttl_s` + MEMORY_EXTRA_S, so that a read is judged against the
cluster as it was when it happened. Counterparts: source.py (what goes in), actor.py (who asks).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from actors.cluster.folding import workload_of
from actors.cluster.keys import key_of, owner_key, says
from actors.cluster.memory import CHANGES_MAX, Memory, kind_of_key
from actors.cluster.podlog import PodLog
from actors.cluster.queries import ClusterStatistics, KindStatus
from actors.cluster.raw import Decoded, Gateway, Owner, RawPod, RawRoute, Snapshot
from actors.cluster.records import Binding, Pod, Record, RecordKey, Role, ServiceAccount
from actors.evidence import Account, ObjectName
from actors.messages import AccountPods, ClusterChanges

_K = TypeVar("_K")
_V = TypeVar("_V")

MEMORY_EXTRA_S: Final = 300.0
"""How much longer than the TTL what is gone is remembered: batches come up to 280 s late."""
LOAD_STEP: Final = 1000
"""Objects of a snapshot that are taken in one step, so that the loop is never held long."""


class ClusterModel:
    """Pods with their workloads, RBAC, Services, routes, accounts, Secrets' names. Every change says whose pods it changed."""

    def __init__(self, *, ttl_s: float = 300.0, epoch: int = 1) -> None:
        self.synced = False
        """Whether the source has been read to the end at least once."""
        self.current_at: float | None = None
        """When the source was last known to be current (epoch seconds)."""
        self.malformed = 0
        self.unknown: Counter[str] = Counter()
        self.memory_s = ttl_s + MEMORY_EXTRA_S
        """How long what is gone is remembered."""
        self._memory = Memory(self.memory_s, epoch)
        self._pods: dict[str, RawPod] = {}
        self._pods_of_account = PodLog()
        self._pods_of_owner: dict[str, dict[str, None]] = {}
        self._restored: set[str] = set()
        """Pods of which only the joined record is known."""
        self._pods_named: dict[tuple[str, str], dict[str, None]] = {}
        self._owners: dict[str, Owner] = {}
        self._owner_counts: Counter[str] = Counter()
        self._routes: dict[ObjectName, RawRoute] = {}
        self._gateways: dict[tuple[str, str], Gateway] = {}
        self._routes_of_gateway: dict[tuple[str, str], dict[ObjectName, None]] = {}

    def __len__(self) -> int:
        """Keys of which something is held."""
        return len(self._memory)

    # --- questions -----------------------------------------------------------------------------------------------

    def pods_of(self, account: Account) -> tuple[Pod, ...]:
        """The pods of the account, the remembered ones too."""
        return self._versions_of(self._pods_of_account.uids(account))

    def pods_since(self, account: Account, epoch: int, version: int) -> AccountPods:
        """Its pods that changed since an earlier answer's epoch and version; 0 and 0: all."""
        log, now = self._pods_of_account, self._memory.log.epoch
        changes = log.since(account, version) if epoch == now else None
        if changes is None:
            return AccountPods(account, self.pods_of(account), now, log.version)
        changed, forgotten = changes
        return AccountPods(account, self._versions_of(changed), now, log.version, False, tuple(forgotten))

    def _versions_of(self, uids: Iterable[str]) -> tuple[Pod, ...]:
        return tuple(each for uid in uids for each in self._memory.versions(uid) if isinstance(each, Pod))

    def pod(self, uid: str) -> Pod | None:
        """The pod of this uid, if it is there or remembered."""
        versions = self._memory.versions(uid) if uid in self._pods else ()
        return versions[-1] if versions and isinstance(versions[-1], Pod) else None

    def pod_named(self, namespace: str, name: str) -> Pod | None:
        """The live pod of this name; else the one remembered that came last."""
        found = [pod for uid in self._pods_named.get((namespace, name), ()) if (pod := self.pod(uid)) is not None]
        return next((pod for pod in found if pod.gone_at is None), found[-1] if found else None)

    def accounts(self) -> tuple[Account, ...]:
        """The accounts that have pods here."""
        return tuple(self._pods_of_account)

    def records(self) -> Iterator[Record]:
        """Everything that is held, remembered versions before the live ones. For commands that read a file once."""
        version, more = 0, True
        while more:
            page = self._memory.changes_since(self._memory.log.epoch, version, synced=self.synced)
            yield from page.records
            version, more = page.version, page.more

    def changes_since(self, epoch: int, version: int, limit: int = CHANGES_MAX) -> ClusterChanges:
        """What changed since an earlier answer's epoch and version; 0 and 0: everything. See Memory.changes_since."""
        return self._memory.changes_since(epoch, version, synced=self.synced, limit=limit)

    def objects(self, now: float) -> dict[str, KindStatus]:
        """Live objects by kind."""
        counts = self._memory.live_counts + self._owner_counts
        counts["Gateway"] = len(self._gateways)
        age_s = max(0.0, now - self.current_at) if self.current_at is not None else 0.0
        return {kind: KindStatus(counts[kind], self.synced, age_s) for kind in sorted(counts) if counts[kind] > 0}

    def statistics(self) -> ClusterStatistics:
        """Counts of what is held and of what bounds cut off."""
        memory = self._memory
        return ClusterStatistics(
            epoch=memory.log.epoch,
            version=memory.log.version,
            held=len(memory),
            pods=len(self._pods),
            tombstones=memory.tombstones,
            tombstones_dropped=memory.tombstones_dropped,
            versions_dropped=memory.versions_dropped,
            epochs_ended=memory.log.epochs_ended,
        )

    # --- changes: each returns the accounts whose pods changed ------------------------------------------------------

    def upsert(self, decoded: Decoded, now: float, since: float | None = None) -> set[Account]:
        """The object is there, like this. `since`: from when on it is known to be so (default: as decoded when it is new, else now)."""
        match decoded:
            case RawPod():
                return self._upsert_pod(decoded)
            case Owner():
                return self._upsert_owner(decoded)
            case RawRoute():
                self._upsert_route(decoded)
            case Gateway():
                self._gateways[decoded.namespace, decoded.name] = decoded
                self._rejoin_routes((decoded.namespace, decoded.name))
            case ServiceAccount():
                return (
                    self._refold(list(self._pods_of_account.uids(decoded.account)))
                    if self._memory.hold(decoded)
                    else set()
                )
            case Role() | Binding():
                self._upsert_versioned(decoded, now, since)
            case _:
                self._memory.hold(decoded)
        return self._clean()

    def remove(self, decoded: Decoded, now: float) -> set[Account]:
        """The object is gone; it is remembered. Owners and Gateways are not: what they explained has been joined."""
        match decoded:
            case RawPod():
                return self._bury_pod(decoded.pod.uid, now) | self._clean()
            case Owner():
                if self._owners.pop(decoded.key, None) is not None:
                    self._owner_counts[decoded.kind] -= 1
            case RawRoute():
                self._memory.bury(decoded.route.key, now)
            case Gateway():
                self._gateways.pop((decoded.namespace, decoded.name), None)
                self._rejoin_routes((decoded.namespace, decoded.name))
            case _:
                self._memory.bury(decoded.key, now)
        return self._clean()

    def remove_unseen(self, kind: str, seen: set[str | ObjectName], now: float) -> set[Account]:
        """A whole list of the kind held `seen` (see `identity`) and nothing else: the rest of it has gone."""
        changed: set[Account] = set()
        for key in self._memory.live_keys(kind):
            if key not in seen:
                if isinstance(key, str):
                    changed |= self._bury_pod(key, now)
                else:
                    self._memory.bury(key, now)
        for uid in [uid for uid, owner in self._owners.items() if owner.kind == kind and uid not in seen]:
            del self._owners[uid]
            self._owner_counts[kind] -= 1
        if kind == "Gateway":
            for place in [each for each in self._gateways if ObjectName(kind, *each) not in seen]:
                del self._gateways[place]
                self._rejoin_routes(place)
        return changed | self._clean()

    def restore(self, records: Sequence[Record]) -> set[Account]:
        """Hold what an earlier process knew, before any source has spoken; pods stay folded as they were until they are named."""
        self._memory.restore(records)
        changed: set[Account] = set()
        for record in records:
            if isinstance(record, Pod):
                self._pods[record.uid] = RawPod(msgspec.structs.replace(record, gone_at=None))
                self._pods_of_account.touch(record.account, record.uid)
                self._pods_named.setdefault((record.namespace, record.name), {})[record.uid] = None
                self._restored.add(record.uid)
                changed.add(record.account)
        return changed

    def expire(self, now: float) -> set[Account]:
        """Forget what has been gone for long enough."""
        self._memory.expire(now)
        return self._clean()

    def renew(self) -> None:
        """Begin a new epoch: everybody asks for everything again. For a restart that cannot tell what was announced."""
        self._memory.log.renew()

    # --- snapshots --------------------------------------------------------------------------------------------------

    def load(self, snapshots: Sequence[Snapshot], now: float) -> set[Account]:
        """Take snapshots in the order of time; see `load_steps`."""
        return set().union(*self.load_steps(snapshots, now))

    def load_steps(self, snapshots: Sequence[Snapshot], now: float) -> Iterator[set[Account]]:
        """Take snapshots in the order of time, some objects a step. The later wins, without a remembered version.

        What only an earlier one has is remembered for ever (`gone_at` math.inf): it counts at any time, and is marked
        as gone. A kind of which a later snapshot holds nothing at all is not covered by it, and stays as it was.
        """
        last_seen: dict[RecordKey, int] = {}
        for index, snapshot in enumerate(snapshots):
            for begin in range(0, len(snapshot.objects), LOAD_STEP):
                changed: set[Account] = set()
                for decoded in snapshot.objects[begin : begin + LOAD_STEP]:
                    changed |= self._take(decoded, now)
                    if (key := key_of(decoded)) is not None:
                        last_seen[key] = index
                yield changed
        covers = [{kind for kind, count in snapshot.counts.items() if count} for snapshot in snapshots]
        yield self._bury_uncovered(last_seen, covers)
        self.malformed = sum(snapshot.malformed for snapshot in snapshots)
        self.unknown = sum((Counter(snapshot.unknown) for snapshot in snapshots), Counter())
        self.synced = self.synced or bool(snapshots)
        self.current_at = now

    def _take(self, decoded: Decoded, now: float) -> set[Account]:
        if isinstance(decoded, (Role, Binding)):
            self._memory.hold(decoded)
            return set()
        return self.upsert(decoded, now)

    def _bury_uncovered(self, last_seen: dict[RecordKey, int], covers: list[set[str]]) -> set[Account]:
        changed: set[Account] = set()
        for key, index in last_seen.items():
            if any(kind_of_key(key) in covered for covered in covers[index + 1 :]):
                if isinstance(key, str):
                    changed |= self._bury_pod(key, math.inf)
                else:
                    self._memory.bury(key, math.inf)
        return changed

    # --- pods -------------------------------------------------------------------------------------------------------

    def _upsert_pod(self, raw: RawPod) -> set[Account]:
        uid, known = raw.pod.uid, self._pods.get(raw.pod.uid)
        changed: set[Account] = set()
        if known is not None and (known.pod.account != raw.pod.account or known.owner != raw.owner):
            changed.add(known.pod.account)
            self._unlink_pod(known)
        self._pods[uid] = raw
        self._restored.discard(uid)
        self._pods_named.setdefault((raw.pod.namespace, raw.pod.name), {})[uid] = None
        if raw.owner is not None:
            self._pods_of_owner.setdefault(owner_key(raw.pod.namespace, raw.owner), {})[uid] = None
        if self._memory.hold(self._joined_pod(raw, known)):
            self._pods_of_account.touch(raw.pod.account, uid)
            changed.add(raw.pod.account)
        elif changed:
            self._pods_of_account.touch(raw.pod.account, uid)
        return changed

    def _bury_pod(self, uid: str, at: float) -> set[Account]:
        known = self._pods.get(uid)
        if known is None or not self._memory.bury(uid, at):
            return set()
        self._pods_of_account.touch(known.pod.account, uid)
        return {known.pod.account}

    def _joined_pod(self, raw: RawPod, known: RawPod | None) -> Pod:
        pod, owner = raw.pod, raw.owner
        workload = workload_of(raw, lambda ref: self._owners.get(owner_key(pod.namespace, ref)))
        if owner is not None and known is not None and known.owner == owner and not self._owner_known(raw):
            # Its owner went before it did; what it was folded to then is still true.
            before = self._memory.versions(pod.uid)
            workload = before[-1].workload if before and isinstance(before[-1], Pod) else workload
        automount = raw.automount
        if automount is None:
            accounts = self._memory.versions(ObjectName("ServiceAccount", pod.namespace, pod.account.name))
            automount = accounts[-1].automount if accounts and isinstance(accounts[-1], ServiceAccount) else None
        bound_token = raw.projected_token or automount is not False
        if workload == pod.workload and bound_token == pod.bound_token:
            return pod
        return msgspec.structs.replace(pod, workload=workload, bound_token=bound_token)

    def _owner_known(self, raw: RawPod) -> bool:
        return raw.owner is not None and owner_key(raw.pod.namespace, raw.owner) in self._owners

    def _refold(self, uids: Iterable[str]) -> set[Account]:
        """Join these pods anew, those that are gone left as they were; whose changed by it."""
        changed: set[Account] = set()
        for uid in uids:
            raw = self._pods[uid]
            if (
                uid not in self._restored
                and self._memory.live(uid) is not None
                and self._memory.hold(self._joined_pod(raw, raw))
            ):
                self._pods_of_account.touch(raw.pod.account, uid)
                changed.add(raw.pod.account)
        return changed

    def _upsert_owner(self, owner: Owner) -> set[Account]:
        known = self._owners.get(owner.key)
        if known == owner:
            return set()
        self._owner_counts[owner.kind] += 1
        if known is not None:
            self._owner_counts[known.kind] -= 1
        self._owners[owner.key] = owner
        return self._refold(self._pods_of_owner.get(owner.key, ()))

    def _unlink_pod(self, raw: RawPod) -> None:
        self._pods_of_account.leave(raw.pod.account, raw.pod.uid)
        _discard(self._pods_named, (raw.pod.namespace, raw.pod.name), raw.pod.uid)
        if raw.owner is not None:
            _discard(self._pods_of_owner, owner_key(raw.pod.namespace, raw.owner), raw.pod.uid)

    # --- roles, bindings, routes ------------------------------------------------------------------------------------

    def _upsert_versioned(self, record: Role | Binding, now: float, since: float | None) -> None:
        live = self._memory.live(record.key)
        if live is None:
            is_new = not self._memory.versions(record.key)
            first = record.valid_from if is_new or record.valid_from > 0.0 else now
            dated = since is None or record.valid_from > 0.0  # the source says since when it is there
            self._memory.hold(msgspec.structs.replace(record, valid_from=first if dated else since))
        elif says(live) == says(record):
            assert isinstance(live, (Role, Binding))  # noqa: S101 - a key has records of one type
            self._memory.hold(msgspec.structs.replace(record, valid_from=live.valid_from))
        else:
            self._memory.replace(msgspec.structs.replace(record, valid_from=now if since is None else since), now)

    def _upsert_route(self, raw: RawRoute) -> None:
        self._unlink_route(raw.route.key)
        self._routes[raw.route.key] = raw
        for gateway in raw.gateways:
            self._routes_of_gateway.setdefault(gateway, {})[raw.route.key] = None
        self._join_route(raw)

    def _join_route(self, raw: RawRoute) -> None:
        known = [gateway for each in raw.gateways if (gateway := self._gateways.get(each)) is not None]
        found = [gateway for gateway in known if gateway.addresses]
        addresses = dict.fromkeys(address for gateway in found for address in gateway.addresses)
        through = ", ".join(f"Gateway {gateway.namespace}/{gateway.name}" for gateway in found)
        self._memory.hold(msgspec.structs.replace(raw.route, addresses=tuple(addresses), through=through))

    def _rejoin_routes(self, gateway: tuple[str, str]) -> None:
        for key in self._routes_of_gateway.get(gateway, ()):
            if self._memory.live(key) is not None:
                self._join_route(self._routes[key])

    def _unlink_route(self, key: ObjectName) -> None:
        known = self._routes.pop(key, None)
        for gateway in known.gateways if known is not None else ():
            _discard(self._routes_of_gateway, gateway, key)

    def _clean(self) -> set[Account]:
        """Let go of what the memory has forgotten; the accounts whose pods those were."""
        changed: set[Account] = set()
        for key in self._memory.take_forgotten():
            if isinstance(key, str):
                raw = self._pods.pop(key)
                self._restored.discard(key)
                self._unlink_pod(raw)
                changed.add(raw.pod.account)
            else:
                self._unlink_route(key)
        return changed


def _discard(index: dict[_K, dict[_V, None]], key: _K, value: _V) -> None:
    values = index.get(key)
    if values is not None:
        values.pop(value, None)
        if not values:
            del index[key]
