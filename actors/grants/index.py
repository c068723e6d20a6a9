"""Every grant of Secrets, by whom it concerns; kept up to date one role or binding at a time. Pure.

Two rules: a grant lives in the tier of its subjects (these accounts, these namespaces, everyone) and is never copied per
account, so a change costs what depends on it and nothing else; and versions that were replaced or went stay beside the
live one for as long as the cluster remembers them, so that a read is judged by what stood when it was made.
Counterparts: engine (feeds it the cluster's changes), access.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from msgspec import Struct

from actors.cluster.records import Binding, Role
from actors.evidence import Account, ObjectName
from actors.grants.aggregation import Aggregates
from actors.grants.escalation import Escalation, escalations_of
from actors.grants.grant import Grant
from actors.grants.powers import Power, compile_powers
from actors.grants.rules import SecretRule, compile_rules
from actors.grants.subjects import NOBODY, Concerned, concerned_by
from actors.grants.tiers import NONE, Tiers, Whom, whom_of

_Compiled = tuple[tuple[float, float | None, tuple[SecretRule, ...], tuple[Power, ...]], ...]
"""Of each version of a role: since when, until when, what it says about Secrets, and what leads to them."""


class GrantsStatistics(Struct, frozen=True):
    """What the index holds."""

    roles: int
    bindings: int
    grants: int
    dangling: int
    """Bindings whose role is not there: they grant nothing now, and at once when somebody creates it."""
    recompiled: int
    """Bindings looked at again so far, over all changes: the cost of the changes."""


class Grants:
    """The index. Every change returns whom it concerns; nothing else needs to be looked at again."""

    def __init__(self) -> None:
        self._roles: dict[ObjectName, tuple[Role, ...]] = {}
        self._bindings: dict[ObjectName, tuple[Binding, ...]] = {}
        self._bindings_of_role: dict[ObjectName, dict[ObjectName, None]] = {}
        self._aggregates = Aggregates(self._roles)
        self._compiled: dict[ObjectName, _Compiled] = {}
        self._placed: dict[ObjectName, list[tuple[Whom, Grant]]] = {}
        """Binding -> its grants, and in which tier each lies."""
        self._tiers = Tiers()
        self._dangling: set[ObjectName] = set()
        self._grants = 0
        self._recompiled = 0

    # --- changes -----------------------------------------------------------------------------------------------

    def put(self, key: ObjectName, versions: Sequence[Role] | Sequence[Binding]) -> Concerned:
        """Replace everything that is held of this role or binding by these versions (none: forget it), as ClusterChanges has them."""
        if key.kind in ("Role", "ClusterRole"):
            return self._put_role(key, tuple(each for each in versions if isinstance(each, Role)))
        return self._put_binding(key, tuple(each for each in versions if isinstance(each, Binding)))

    def upsert_role(self, role: Role) -> Concerned:
        """Hold this version: it takes the place of the one with the same `valid_from`, if there is one."""
        held = [each for each in self._roles.get(role.name, ()) if each.valid_from != role.valid_from]
        return self._put_role(role.name, (*held, role))

    def upsert_binding(self, binding: Binding) -> Concerned:
        """Hold this version: it takes the place of the one with the same `valid_from`, if there is one."""
        held = [each for each in self._bindings.get(binding.name, ()) if each.valid_from != binding.valid_from]
        return self._put_binding(binding.name, (*held, binding))

    def remove_role(self, name: ObjectName) -> Concerned:
        """Forget every version of it."""
        return self._put_role(name, ())

    def remove_binding(self, name: ObjectName) -> Concerned:
        """Forget every version of it."""
        return self._put_binding(name, ())

    def _put_binding(self, key: ObjectName, versions: tuple[Binding, ...]) -> Concerned:
        before = self._bindings.pop(key, ())
        if before == versions:
            if versions:
                self._bindings[key] = versions
            return NOBODY
        for name in {_role_of(each) for each in before} - {None}:
            self._unlink(name, key)
        if versions:
            self._bindings[key] = versions
        for each in versions:
            if (name := _role_of(each)) is not None:
                self._bindings_of_role.setdefault(name, {})[key] = None
        return _union(chain(before, versions)) if self._place(key) else NOBODY

    def _unlink(self, role: ObjectName | None, binding: ObjectName) -> None:
        if role is not None and (linked := self._bindings_of_role.get(role)) is not None:
            linked.pop(binding, None)
            if not linked:
                del self._bindings_of_role[role]

    def _put_role(self, key: ObjectName, versions: tuple[Role, ...]) -> Concerned:
        before = self._roles.pop(key, ())
        if versions:
            self._roles[key] = versions
        if before == versions:
            return NOBODY
        touched = {key: None} | self._aggregates.changed(key)
        compiled = {name: self._compiled.pop(name, None) for name in touched}
        changed = [name for name, old in compiled.items() if self._compile(name) != old]
        bindings = dict.fromkeys(b for role in changed for b in self._bindings_of_role.get(role, ()))
        return _union(each for binding in bindings if self._place(binding) for each in self._bindings[binding])

    def contributors(self, role: ObjectName) -> tuple[ObjectName, ...]:
        """The roles whose own rules an unfilled aggregate has, by name; the role itself where it is none."""
        return self._aggregates.contributors(role)

    # --- placing grants ----------------------------------------------------------------------------------------

    def _place(self, key: ObjectName) -> bool:
        """Make the grants of this binding anew; whether they are other ones than before."""
        self._recompiled += 1
        versions = self._bindings.get(key, ())
        if versions and not any(_role_of(each) in self._roles for each in versions):
            self._dangling.add(key)
        else:
            self._dangling.discard(key)
        before = self._placed.pop(key, [])
        placed = [
            (whom, grant)
            for binding in versions
            if (grants := list(self._grants_of_version(binding)))
            for whom in whom_of(concerned_by(binding))
            for grant in grants
        ]
        if placed:
            self._placed[key] = placed
        if placed == before:
            return False
        self._grants += len({g for _, g in placed if g.rules}) - len({g for _, g in before if g.rules})
        for whom, grant in before:
            self._tiers.take_out(whom, grant)
        for whom, grant in placed:
            self._tiers.put(whom, grant)
        return True

    def _compile(self, role: ObjectName) -> _Compiled:
        compiled = self._compiled.get(role)
        if compiled is None:
            versions = self._roles.get(role, ())
            of_each = ((each, self._aggregates.rules_of(each)) for each in versions)
            compiled = tuple(
                (each.valid_from, each.gone_at, compile_rules(rules), compile_powers(rules)) for each, rules in of_each
            )
            self._compiled[role] = compiled
        return compiled

    def _grants_of_version(self, binding: Binding) -> Iterator[Grant]:
        role = _role_of(binding)
        if role is None:
            return
        for since, until, rules, powers in self._compile(role) if role in self._roles else ():
            valid_from = max(binding.valid_from, since)
            ends = [each for each in (binding.gone_at, until) if each is not None]
            gone_at = min(ends) if ends else None
            if (rules or powers) and (gone_at is None or valid_from <= gone_at):
                yield Grant(binding.name, role, binding.name.namespace, rules, valid_from, gone_at, powers)

    # --- questions ---------------------------------------------------------------------------------------------

    def grants_of(self, account: Account, at: float | None = None) -> tuple[Grant, ...]:
        """The account's grants of Secrets, ClusterRoleBindings first, then by namespace and name; versions oldest first.

        `at` (epoch seconds): those in force then. None: all that are held, the remembered ones (`Grant.revoked`) too.
        """
        return tuple([g for g in self.held_by(account) if g.rules and (at is None or g.in_force(at))])

    def held_by(self, account: Account) -> tuple[Grant, ...]:
        """The account's grants of Secrets and of what leads to them, in the order of `grants_of`."""
        found = [g for tier in self._tiers.of(account) for part in tier.values() for g in part.values()]
        if len(found) > 1:
            found.sort(key=_order)
        return tuple(found)

    def escalations_of(self, account: Account) -> tuple[Escalation, ...]:
        """What the account may do now to come to Secrets without reading them."""
        return escalations_of(self.held_by(account))

    def readers_within(
        self, namespace: str | None, names: Iterable[str] | None = None
    ) -> Iterator[tuple[str | None, str | None, tuple[Grant, ...]]]:
        """See Tiers.readers_within."""
        return self._tiers.readers_within(namespace, names)

    def allowing(
        self, account: Account, verb: str, namespace: str | None, name: str | None, at: float | None = None
    ) -> list[Grant]:
        """The grants each of which by itself allows this request (Grant.allows), in the order of `grants_of`."""
        found: list[Grant] = []
        for tier in self._tiers.of(account):
            for part in (tier.get(None, NONE), tier.get(namespace, NONE) if namespace else NONE):
                found += [
                    grant
                    for grant in part.values()
                    if (at is None or grant.in_force(at)) and any(rule.allows(verb, name) for rule in grant.rules)
                ]
        if len(found) > 1:
            found.sort(key=_order)
        return found

    def concerned_by(self, binding: ObjectName) -> Concerned:
        """Whom the held versions of this binding name."""
        return _union(self._bindings.get(binding, ()))

    def is_held(self, role: ObjectName) -> bool:
        """Whether a binding that stands gives this role to an account, be there such a role or not."""
        bindings = (each for name in self._bindings_of_role.get(role, ()) for each in self._bindings[name])
        return any(each.gone_at is None and _role_of(each) == role and concerned_by(each) for each in bindings)

    def named_accounts(self) -> frozenset[Account]:
        """Accounts that bindings which grant Secrets, or what leads to them, name one by one, whether they exist or not."""
        return self._tiers.named()

    def dangling(self) -> tuple[ObjectName, ...]:
        """Bindings none of whose versions has its role here."""
        return tuple(sorted(self._dangling, key=str))

    def statistics(self) -> GrantsStatistics:
        """Counts, and what the changes have cost."""
        return GrantsStatistics(
            roles=len(self._roles),
            bindings=len(self._bindings),
            grants=self._grants,
            dangling=len(self._dangling),
            recompiled=self._recompiled,
        )


def _role_of(binding: Binding) -> ObjectName | None:
    """The role that a binding refers to: a Role of its own namespace or a ClusterRole; anything else resolves to nothing."""
    if binding.role_kind == "ClusterRole":
        return ObjectName("ClusterRole", None, binding.role_name)
    if binding.role_kind == "Role" and binding.name.namespace is not None:
        return ObjectName("Role", binding.name.namespace, binding.role_name)
    return None


def _union(bindings: Iterable[Binding]) -> Concerned:
    accounts: set[Account] = set()
    namespaces: set[str] = set()
    everyone = False
    for each in map(concerned_by, bindings):
        accounts |= each.accounts
        namespaces |= each.namespaces
        everyone = everyone or each.everyone
    return Concerned(frozenset(accounts), frozenset(namespaces), everyone)


def _order(grant: Grant) -> tuple[str, str, float, str]:
    return (grant.binding.namespace or "", grant.binding.name, grant.valid_from, grant.role.name)
