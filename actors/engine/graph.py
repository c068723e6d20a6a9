"""The cluster as chains: records in, workloads, accounts, entries and chains kept in step. Pure; knows no evidence.

Theory of operation: a batch of records is taken in first, collecting which entries, workloads and accounts it concerns;
then each of those is brought in step once. So a change costs what it concerns, and what cancels out changes nothing.
A grant stays a selector: an entry has one chain for each binding, role and scope, however many Secrets there are.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from itertools import islice
from typing import Final, TypeVar

from actors.cluster.records import Binding, KnownSecret, Pod, Record, RecordKey, Role, Route, Service
from actors.engine.chains import Chains
from actors.engine.changes import Changes
from actors.engine.escalating import Escalating
from actors.engine.expected import Expected
from actors.engine.exposure import Exposure, Exposures, shape_of
from actors.engine.granted import ChainKey
from actors.engine.nodes import BURST_SECRETS, PODS_SHOWN_MAX, AccountNode, Chain, Entry, WorkloadNode
from actors.engine.places import Places
from actors.evidence import ObjectName, Scope, Workload
from actors.grants import Concerned, Grant, Grants

K = TypeVar("K")
RBAC_KINDS: Final = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


class Graph(Places):
    """Everything the cluster's records say about chains."""

    def __init__(self, changes: Changes, expected: Expected | None = None, burst_secrets: int = BURST_SECRETS) -> None:
        super().__init__(expected, burst_secrets)
        self._changes = changes
        self.grants = Grants()
        self.chains = Chains(changes)
        self.escalating = Escalating()
        self._exposures = Exposures()
        self._pods: dict[str, Pod] = {}
        self._objects: dict[ObjectName, None] = {}
        """What is there besides pods, by name; of Secrets those that are not gone."""
        self._unseen: dict[RecordKey, None] | None = None
        self._concerned = Concerned()
        self._entries: dict[Entry, None] = {}
        self._nodes: dict[WorkloadNode, None] = {}
        """What the records taken in so far concern."""

    # --- records ---

    def apply(
        self, records: Iterable[Record], forgotten: Iterable[RecordKey], *, full: bool, more: bool
    ) -> list[AccountNode]:
        """Takes in one part of the cluster's changes; the accounts whose grants changed.

        `full`: a first part of everything: what the parts until `more` is false do not name is forgotten then.
        """
        if full:
            self._unseen = dict.fromkeys([*self._pods, *self._objects])
        rbac: dict[ObjectName, list[Role | Binding]] = {}
        for record in records:
            self._changes.touched += 1
            if self._unseen is not None:
                self._unseen.pop(record.key, None)
            if isinstance(record, Role | Binding):
                rbac.setdefault(record.name, []).append(record)
            else:
                self._take(record)
        for name, versions in rbac.items():
            self._objects[name] = None
            self._concerned |= self.grants.put(name, versions)  # type: ignore[arg-type] # one kind under one name
        for key in forgotten:
            self._forget(key)
        if self._unseen is not None and not more:
            for key in self._unseen:
                self._forget(key)
            self._unseen = None
        return self._bring_in_step()

    def _take(self, record: Record) -> None:
        """All but roles and bindings: of those all versions come together, and the older ones are remembered beside the new."""
        if isinstance(record, Pod):
            self._pod(self._pods.get(record.uid), record)
            return
        if isinstance(record, KnownSecret):
            self._known_secret(record.key, there=record.gone_at is None)
            return
        self._objects[record.key] = None
        if isinstance(record, Service):
            self._exposed(self._exposures.service_changed(record))
        elif isinstance(record, Route):
            self._exposed(self._exposures.route_changed(record))

    def _forget(self, key: RecordKey) -> None:
        self._changes.touched += 1
        if isinstance(key, str):
            self._pod(self._pods.get(key), None)
        elif key.kind == "Secret":
            self._known_secret(key, there=False)
        elif key in self._objects:
            del self._objects[key]
            if key.kind in RBAC_KINDS:
                self._concerned |= self.grants.put(key, ())
            else:
                self._exposed(self._exposures.forget(key))

    def _known_secret(self, key: ObjectName, *, there: bool) -> None:
        if key.namespace is None or there is (key in self._objects):
            return
        if there:
            self._objects[key] = None
            self.chains.know((key.namespace, key.name))
        else:
            del self._objects[key]
            self.chains.unknow((key.namespace, key.name))

    def _exposed(self, workloads: Iterable[Workload]) -> None:
        for workload in workloads:
            node = self.workloads.get(workload)
            if node is not None:
                self._nodes[node] = None

    # --- pods ---

    def _pod(self, old: Pod | None, new: Pod | None) -> None:
        if old == new:
            return
        self._exposures.pod_changed(old, new)
        if old is not None:
            self._count_pod(old, -1)
            del self._pods[old.uid]
        if new is not None:
            self._count_pod(new, 1)
            self._pods[new.uid] = new

    def _count_pod(self, pod: Pod, by: int) -> None:
        entry = self.entry(pod.workload, pod.account)
        node = entry.node
        self._entries[entry] = None
        self._nodes[node] = None
        entry.known += by
        live = pod.gone_at is None and not pod.finished
        _count(node.live_shapes if live else node.past_shapes, shape_of(pod), by)
        if live:
            entry.tokens += by if pod.bound_token else 0
            _count(entry.pods, pod.name, by)
            _count(node.pods, pod.name, by)
            for secret in {mount.secret for mount in pod.mounts}:
                _count(node.mounts, secret, by)

    # --- in step ---

    def _bring_in_step(self) -> list[AccountNode]:
        concerned, self._concerned = self._concerned, Concerned()
        regranted = [node for node in self.concerned(concerned) if self._take_grants(node)]
        for account in regranted:
            for entry in account.entries.values():
                self._sync_entry(entry)
        entries, nodes = list(self._entries), list(self._nodes)
        self._entries.clear()
        self._nodes.clear()
        for entry in entries:
            if (entry.tokens > 0) != entry.usable:
                self._sync_entry(entry)
                self._changes.answers |= bool(entry.chains)
            shown = tuple(islice(entry.pods, PODS_SHOWN_MAX))
            self._changes.answers |= shown != entry.shown and bool(entry.chains)
            entry.shown = shown
        for node in nodes:
            self._sync_node(node)
        for entry in entries:
            self.leave(entry)
        return regranted

    def _take_grants(self, node: AccountNode) -> bool:
        """Asks again what the account was granted. Whether what it may read changed."""
        self._changes.touched += 1
        held = self.grants.held_by(node.account)
        if held == node.held:
            return False
        before = node.escalations
        changed = node.take(held)
        if node.escalations != before:
            for entry in node.entries.values():
                self.escalating.sync(entry)
        return changed

    def _sync_entry(self, entry: Entry) -> None:
        """Its chains are those of the account's grants while it is usable; what is lit stays until it is dark."""
        self._changes.touched += 1
        entry.usable = entry.tokens > 0
        account = entry.account
        wanted = account.current if entry.usable else {}
        for key, chain in list(entry.chains.items()):
            self._regrant(chain, account.known_grants.get(key))
            if key not in wanted and chain.structural:
                self._changes.touched += 1
                chain.structural = False
                self._changes.unsettled[chain] = None
        for key in wanted:
            self.granted_chain(entry, key, wanted[key]).structural = True
        self.escalating.sync(entry)

    def _regrant(self, chain: Chain, grant: Grant | None) -> None:
        """The chain's grant as it is known now. One that is known no longer stays as it was: then it was revoked before."""
        old = chain.grant
        if old is None or grant is None or grant is old:
            return
        chain.grant = grant
        same = grant.revoked == old.revoked and grant.verbs_for(chain.scope) == old.verbs_for(chain.scope)
        self._changes.answers |= not same

    def granted_chain(self, entry: Entry, key: ChainKey, grant: Grant) -> Chain:
        """The entry's chain over this grant and scope; made if it is not there."""
        self._changes.touched += 1
        chain = entry.chains.get(key)
        if chain is None:
            chain = entry.chains[key] = self.chains.make(entry.node, entry, grant, key[2])
        return chain

    def remove_chain(self, chain: Chain) -> None:
        """Takes out a chain that is neither lit nor listed, and what only it held."""
        self.chains.remove(chain)
        node, entry = chain.node, chain.entry
        if entry is not None:
            del entry.chains[chain.key]
            self.leave(entry)
            return
        del node.mounted[chain.scope.name or ""]
        if not node.entries and not node.mounted:
            self.workloads.pop(node.workload, None)

    def _sync_node(self, node: WorkloadNode) -> None:
        """Mounted chains, exposure, and what the answers say about its pods."""
        self._changes.touched += 1
        for secret, chain in node.mounted.items():
            if chain.structural and secret not in node.mounts:
                chain.structural = False
                self._changes.unsettled[chain] = None
        for secret in node.mounts:
            mounted = node.mounted.get(secret)
            if mounted is None:
                mounted = self.chains.make(node, None, None, Scope(node.workload.namespace, secret))
                node.mounted[secret] = mounted
            mounted.structural = True
        shown = tuple(islice(node.pods, PODS_SHOWN_MAX))
        self._changes.answers |= shown != node.shown and bool(node.mounted)
        node.shown = shown
        exposure = self._exposures.of(node.shapes)
        if exposure != node.exposure:
            self._expose(node, exposure)

    def _expose(self, node: WorkloadNode, exposure: Exposure) -> None:
        """The chains that start here move to their place in the order."""
        chains = node.chains()
        dark = [chain for chain in chains if not chain.lit]
        for chain in dark:
            self.chains.dark.remove(chain)
        for entry in node.entries.values():
            self.escalating.take_out(entry)
        node.exposure = exposure
        self.chains.dark.update(dark)
        for entry in node.entries.values():
            self.escalating.sync(entry)
        self._changes.answers |= bool(chains)
        self._changes.touched += len(chains)


def _count(counts: MutableMapping[K, int], key: K, by: int) -> None:
    left = counts.get(key, 0) + by
    if left:
        counts[key] = left
    else:
        del counts[key]
