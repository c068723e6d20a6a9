"""Pages of escalations, made from the selectors when somebody looks. Pure; counterparts: escalating.py, queries.py (shapes).

What an escalation leads on to is looked up for the page alone, once for each selector on it, and shown up to a bound.
One question looks at LOOKED_MAX escalations at most: where filters let little through a page is short, and its cursor goes on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from actors.engine.core import Engine
from actors.engine.escalating import EntryPlace, place_of_entry
from actors.engine.escalation_views import EscalationPage, EscalationView, ReachedAccountView
from actors.engine.nodes import Entry, WorkloadNode
from actors.engine.queries import (
    LIMIT_MAX,
    BadCursor,
    EscalationsQuery,
    GrantNameView,
    NameView,
)
from actors.engine.secrets import SecretName
from actors.engine.views import entry_view, object_view
from actors.evidence import Account, ObjectName, Scope
from actors.grants import Escalation, Grant
from actors.grants.escalation import Edge
from actors.grants.powers import Right

LOOKED_MAX: Final = 10_000
"""Escalations that one question looks at."""
MOUNTS_LOOKED_MAX: Final = 2_000
"""Chains that are looked at for what the pods of one selector mount."""
REACHED_MAX: Final = 20
"""Accounts, and mounted Secrets, in one escalation's answer."""
SCOPES_MAX: Final = 5
"""Scopes of one of those accounts."""
CURSOR_MAX: Final = 4096
"""Characters of a cursor; a longer one is none of ours."""

_Place: TypeAlias = tuple[EntryPlace, int]
"""An entry's place, and the number of its escalation."""
_PLACES: Final[msgspec.json.Decoder[_Place]] = msgspec.json.Decoder(_Place)
_Selector: TypeAlias = tuple[str, str | None, tuple[str, ...] | None]
"""Through what, where, and of which names."""


class _Reached(Struct, frozen=True):
    """What lies behind a selector: accounts that may read Secrets, and Secrets that pods mount; one more of each than is shown."""

    accounts: list[ReachedAccountView]
    mounted: list[SecretName]


def escalations_page(engine: Engine, query: EscalationsQuery, now: float) -> EscalationPage | BadCursor:
    """A page in the order of the entries: the most exposed first."""
    engine.tick(now)
    after = None if query.cursor is None else _decode(query.cursor)
    if query.cursor is not None and after is None:
        return BadCursor()
    limit = max(1, min(query.limit, LIMIT_MAX))
    target = None if query.secret is None else _Target(engine, query.secret)
    reached = _Behind(engine)
    views: list[EscalationView] = []
    place: _Place | None = None
    for looked, (entry, number) in enumerate(_places(engine, query, after)):
        if len(views) == limit or looked == LOOKED_MAX:
            break
        place = (place_of_entry(entry), number)
        escalation = entry.account.escalations[number]
        if _passes(entry, escalation, query) and (target is None or target.is_led_to(entry, escalation)):
            views.append(_view(engine, entry, escalation, reached))
    else:
        place = None
    filtered = any((query.namespace, query.exposure, query.account, query.secret, query.edge))
    return EscalationPage(
        views, None if place is None else _encode(place), None if filtered else engine.graph.escalating.total
    )


def _places(engine: Engine, query: EscalationsQuery, after: _Place | None) -> Iterator[tuple[Entry, int]]:
    """Entries with the numbers of their escalations, behind that place."""
    graph = engine.graph
    entries: Iterable[Entry]
    if query.account is not None:
        account = graph.accounts.get(Account(*query.account))
        own = [] if account is None else [entry for entry in account.entries.values() if entry.escalates]
        entries = sorted(own, key=place_of_entry)
    else:
        entries = graph.escalating.entries.irange_key(min_key=None if after is None else after[0])
    for entry in entries:
        place = place_of_entry(entry)
        if after is not None and place < after[0]:
            continue
        first = after[1] + 1 if after is not None and place == after[0] else 0
        for number in range(first, entry.escalates):
            yield entry, number


def _passes(entry: Entry, escalation: Escalation, query: EscalationsQuery) -> bool:
    if query.namespace is not None and entry.node.workload.namespace != query.namespace:
        return False
    if query.exposure is not None and entry.node.exposure.level != query.exposure:
        return False
    return query.edge is None or escalation.edge.label == query.edge


def _view(engine: Engine, entry: Entry, escalation: Escalation, reached: _Behind) -> EscalationView:
    workload, exposure, account = entry.node.workload, entry.node.exposure, entry.account.account
    edge, namespace = escalation.edge, escalation.namespace
    behind = reached.of(escalation)
    own = NameView(account.namespace, account.name)
    mounted = [each for each in behind.mounted if not _mounts(entry.node, each)]
    others = [each for each in behind.accounts if each.service_account != own]
    wide = edge.through in ("secrets", "anyone")
    parts = (workload, account, edge.label, escalation.grant.binding, escalation.grant.role, namespace)
    return EscalationView(
        id=blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest(),
        entry=entry_view(entry.node, entry.shown, entry.tokens > 0),
        service_account=own,
        reach="escalation",
        edge=edge.label,
        technique=edge.technique,
        verbs=list(escalation.verbs),
        names=None if escalation.names is None else list(escalation.names),
        namespace=namespace,
        grants=[
            GrantNameView(object_view(each.binding), object_view(each.role))
            for each in (escalation.grant, escalation.besides)
            if each is not None
        ],
        through=edge.through,
        objective=NameView(namespace, None) if wide else None,
        accounts=others[:REACHED_MAX],
        accounts_more=len(others) > REACHED_MAX,
        mounted=[NameView(*secret) for secret in mounted[:REACHED_MAX]],
        mounted_more=len(behind.mounted) > REACHED_MAX,
        latent=not (wide or others or mounted) or _of_a_role_without_holders(engine, escalation),
        breach_relevant=exposure.rank == 0,
    )


def _mounts(node: WorkloadNode, secret: SecretName) -> bool:
    """Whether the workload itself mounts it: then nothing is gained."""
    return secret[0] == node.workload.namespace and secret[1] in node.mounts


def _of_a_role_without_holders(engine: Engine, escalation: Escalation) -> bool:
    """Whether it only widens roles that nobody is bound to. Asked where the grant names the roles; else somebody holds one."""
    grant = escalation.grant
    powers = [power for power in grant.powers if power.right in Edge.ESCALATE.rights]
    if escalation.edge is not Edge.ESCALATE:
        return False
    for power in powers:
        of_cluster = power.right is Right.ESCALATE_CLUSTER_ROLES
        if of_cluster and grant.namespace is not None:
            continue  # a ClusterRole has no namespace: a RoleBinding does not let it be changed
        if power.names is None or (grant.namespace is None and not of_cluster):
            return False
        kind, where = ("ClusterRole", None) if of_cluster else ("Role", grant.namespace)
        if any(engine.graph.grants.is_held(ObjectName(kind, where, name)) for name in power.names):
            return False
    return True


def _reached_view(row: tuple[str | None, str | None, tuple[Grant, ...]]) -> ReachedAccountView:
    namespace, name, grants = row
    scopes = islice(dict.fromkeys(scope for grant in grants for scope in grant.scopes()), SCOPES_MAX)
    return ReachedAccountView(NameView(namespace, name), [NameView(each.namespace, each.name) for each in scopes])


class _Behind:
    """What lies behind the selectors of one page."""

    def __init__(self, engine: Engine) -> None:
        self._graph = engine.graph
        self._known: dict[_Selector, _Reached] = {}

    def of(self, escalation: Escalation) -> _Reached:
        """Of this one."""
        through, names = escalation.edge.through, _names_of(escalation)
        if through == "anyone" or escalation.edge.label in ("bind", "escalate"):
            return _Reached([], [])
        key = (through, escalation.namespace, names)
        reached = self._known.get(key)
        if reached is None:
            reached = self._known[key] = self._look(*key)
        return reached

    def _look(self, through: str, namespace: str | None, names: tuple[str, ...] | None) -> _Reached:
        rows = self._graph.grants.readers_within(namespace, names if through == "accounts" else None)
        if through != "pods":
            return _Reached([_reached_view(row) for row in islice(rows, REACHED_MAX + 2)], [])
        running = (
            row for row in rows if row[0] is None or row[1] is None or self._runs(Account(row[0], row[1]), names)
        )
        reached = [_reached_view(row) for row in islice(running, REACHED_MAX + 2)]
        return _Reached(reached, self._mounted(namespace, names))

    def _runs(self, account: Account, names: tuple[str, ...] | None) -> bool:
        """Whether one of these pods runs as the account."""
        node = self._graph.accounts.get(account)
        entries = () if node is None else node.entries.values()
        return any(entry.pods if names is None else any(name in entry.pods for name in names) for entry in entries)

    def _mounted(self, namespace: str | None, names: tuple[str, ...] | None) -> list[SecretName]:
        """The first Secrets that these pods mount."""
        by_namespace = self._graph.chains.by_namespace
        parts = by_namespace.values() if namespace is None else [by_namespace.get(namespace, {})]
        found: dict[SecretName, None] = {}
        for chain in islice((chain for part in parts for chain in part), MOUNTS_LOOKED_MAX):
            scope, node = chain.scope, chain.node
            if chain.entry is not None or scope.namespace is None or scope.name is None or not chain.structural:
                continue
            if names is None or any(name in node.pods for name in names):
                found[scope.namespace, scope.name] = None
            if len(found) > REACHED_MAX:
                break
        return list(found)


class _Target:
    """Who may read one Secret and which pods mount it, so that each escalation is held against it at once."""

    def __init__(self, engine: Engine, secret: SecretName) -> None:
        graph = engine.graph
        self._engine = engine
        self._secret = secret
        self._readers: dict[str | None, set[str | None]] = {}
        for namespace, name, grants in graph.grants.readers_within(None):
            if any(grant.verbs_on(*secret) for grant in grants):
                self._readers.setdefault(namespace, set()).add(name)
        nodes = [chain.node for chain in graph.chains.by_scope.get(Scope(*secret), ()) if chain.entry is None]
        self._nodes = nodes

    def is_led_to(self, entry: Entry, escalation: Escalation) -> bool:
        """Whether the escalation leads the entry to the Secret, in one step, beyond what it mounts and its account reads itself."""
        namespace, names = escalation.namespace, _names_of(escalation)
        through = escalation.edge.through
        if through in ("secrets", "anyone") and namespace in (None, self._secret[0]):
            return not _of_a_role_without_holders(self._engine, escalation)
        if escalation.edge.label in ("bind", "escalate"):
            return False
        if (
            through == "pods"
            and namespace in (None, self._secret[0])
            and any(
                node.pods if names is None else any(name in node.pods for name in names)
                for node in self._nodes
                if node is not entry.node
            )
        ):
            return True
        wanted = names if through == "accounts" else None
        own = entry.account.account
        for where, readers in self._readers.items():
            if None not in (where, namespace) and where != namespace:
                continue
            others = readers - {own.name} if where == own.namespace else readers
            if others and (wanted is None or None in others or not others.isdisjoint(wanted)):
                return True
        return False


def _names_of(escalation: Escalation) -> tuple[str, ...] | None:
    """The names of pods or accounts that it is limited to: those of nodes and Secrets are none."""
    return None if escalation.edge.label in ("nodes_proxy", "token_secrets", "workloads") else escalation.names


def _encode(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _decode(cursor: str) -> _Place | None:
    """The place that a cursor stands for; None if no engine gave it out."""
    if len(cursor) > CURSOR_MAX:
        return None
    try:
        return _PLACES.decode(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError):
        return None
