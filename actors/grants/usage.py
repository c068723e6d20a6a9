"""Rights held against what was used: what is granted and not used, and the narrowest roles that cover what was. Pure.

A request that several grants allow uses all of them: the API server names one by chance, and cutting the others cuts nothing.
Only reads are known here, so a role that also lets Secrets be written is never narrowed in place. Counterpart: web/rights.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from actors.cluster.records import Binding, Role
from actors.evidence import Account, ObjectName, Scope
from actors.grants.access import access_of
from actors.grants.grant import Grant
from actors.grants.index import Grants
from actors.grants.rules import READ_VERBS
from actors.grants.subjects import Concerned, concerned_by


class Use(Struct, frozen=True):
    """Reads of one (account, scope, verb). Times: epoch seconds."""

    account: Account
    scope: Scope
    verb: str
    first_seen: float
    last_seen: float
    count: int


class Unused(Struct, frozen=True):
    """Verbs on Secrets that an account has through a grant and did not use since."""

    account: Account
    grant: Grant
    scope: Scope
    verbs: tuple[str, ...]
    last_seen: float | None
    """When one of these verbs was used last, before the time asked for; None: never, as far as is known."""


class NarrowRule(Struct, frozen=True):
    """One rule about Secrets; `names` empty: all of them."""

    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


class NarrowRole(Struct, frozen=True):
    """What covers everything that the account used in one namespace (None: cluster-wide)."""

    account: Account
    name: ObjectName
    """Role or ClusterRole. Of a Role that is there, that is about reading Secrets only, and that nobody else has, the name is kept."""
    rules: tuple[NarrowRule, ...]
    is_new: bool
    """Nothing of this name is there, so it needs a binding too."""


def by_account(uses: Iterable[Use]) -> dict[Account, list[Use]]:
    """The uses of each account."""
    found: dict[Account, list[Use]] = {}
    for use in uses:
        found.setdefault(use.account, []).append(use)
    return found


def unused(
    grants: Grants, accounts: Iterable[Account], uses: Mapping[Account, Collection[Use]], before: float
) -> Iterator[Unused]:
    """Of each account what it has and did not use since `before` (epoch seconds), one entry a grant and scope."""
    for account in accounts:
        own = uses.get(account, ())
        for each in access_of(grants, account):
            idle: list[str] = []
            last_seen: float | None = None
            for verb in each.verbs:
                seen = max(
                    (u.last_seen for u in own if u.verb == verb and _used(each.grant, each.scope, u)), default=None
                )
                if seen is None or seen < before:
                    idle.append(verb)
                    last_seen = seen if last_seen is None else max(last_seen, seen or last_seen)
            if idle:
                yield Unused(account, each.grant, each.scope, tuple(idle), last_seen)


def _used(grant: Grant, scope: Scope, use: Use) -> bool:
    return grant.scope_allows(scope, use.verb, use.scope.namespace, use.scope.name)


# --- the narrowest roles ------------------------------------------------------------------------------------------------


def narrowest(
    account: Account, uses: Iterable[Use], roles: Iterable[Role], bindings: Iterable[Binding]
) -> list[NarrowRole]:
    """The roles that allow what was used and nothing else: a ClusterRole for cluster-wide reads, and a Role for each namespace."""
    wanted: dict[str | None, set[tuple[str, str | None]]] = {}
    for use in uses:
        wanted.setdefault(use.scope.namespace, set()).add((use.verb, use.scope.name))
    everywhere = {verb for verb, name in wanted.get(None, ()) if name is None}
    own = _own_roles(account, roles, bindings)
    found: list[NarrowRole] = []
    for namespace in sorted(wanted, key=lambda each: each or ""):
        covered = everywhere if namespace is not None else set()
        rules = _rules({(verb, name) for verb, name in wanted[namespace] if verb not in covered})
        if not rules:
            continue
        kept = own.get(namespace, [])
        if len(kept) == 1:
            found.append(NarrowRole(account, kept[0], rules, is_new=False))
        else:
            kind = "ClusterRole" if namespace is None else "Role"
            found.append(
                NarrowRole(account, ObjectName(kind, namespace, _new_name(account, namespace)), rules, is_new=True)
            )
    return found


def _new_name(account: Account, namespace: str | None) -> str:
    """Names of roles in the account's own namespace need not say whose they are."""
    prefix = "" if namespace == account.namespace else f"{account.namespace}-"
    return f"{prefix}{account.name}-reads-secrets"


def _rules(wanted: set[tuple[str, str | None]]) -> tuple[NarrowRule, ...]:
    """A rule for the collection, and one for each set of verbs that names have in common. A get of one name never gives them all."""
    whole = {verb for verb, name in wanted if name is None}
    names: dict[str, set[str]] = {}
    for verb, name in wanted:
        if name is not None and verb not in whole:
            names.setdefault(name, set()).add(verb)
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names):
        alike.setdefault(_in_order(names[name]), []).append(name)
    rules = [NarrowRule(_in_order(whole))] if whole else []
    return (*rules, *(NarrowRule(verbs, tuple(alike[verbs])) for verbs in sorted(alike)))


def _in_order(verbs: Collection[str]) -> tuple[str, ...]:
    return tuple(verb for verb in READ_VERBS if verb in verbs)


def _own_roles(
    account: Account, roles: Iterable[Role], bindings: Iterable[Binding]
) -> dict[str | None, list[ObjectName]]:
    """By namespace: the roles that can be narrowed in place, since nobody else has them and they are about reading Secrets only."""
    bound: dict[tuple[str, str | None, str], list[Binding]] = {}
    for binding in bindings:
        namespace = binding.name.namespace if binding.role_kind == "Role" else None
        bound.setdefault((binding.role_kind, namespace, binding.role_name), []).append(binding)
    alone = Concerned(accounts=frozenset({account}))
    found: dict[str | None, list[ObjectName]] = {}
    for role in roles:
        name = role.name
        its = bound.get((name.kind, name.namespace, name.name), [])
        if len(its) != 1 or its[0].name.namespace != name.namespace or role.rules is None or not role.rules:
            continue
        reads_only = all(
            rule.api_groups == ("",) and rule.resources == ("secrets",) and set(rule.verbs) <= set(READ_VERBS)
            for rule in role.rules
        )
        if reads_only and not role.aggregation and len(its[0].subjects) == 1 and concerned_by(its[0]) == alone:
            found.setdefault(name.namespace, []).append(name)
    return found
