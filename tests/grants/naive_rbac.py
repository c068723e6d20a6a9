"""A second evaluator of RBAC for Secrets, which enumerates instead of being clever, and short ways to write roles and bindings.

Nothing of `actors.grants` is used here: it is what the tests hold the real one against.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from actors.cluster.records import Binding, LabelRequirement, Role, Rule, Subject
from actors.evidence import Account, ObjectName

TOLERANCE_S = 5.0


def rule(
    verbs: str = "get",
    groups: Iterable[str] = ("",),
    resources: Iterable[str] = ("secrets",),
    names: Iterable[str] = (),
) -> Rule:
    """A rule; verbs separated by spaces."""
    return Rule(tuple(verbs.split()), tuple(groups), tuple(resources), tuple(names))


def role(name: str, *rules: Rule, namespace: str | None = "app", **more: object) -> Role:
    """A Role, or a ClusterRole where namespace is None."""
    return Role(ObjectName("Role" if namespace else "ClusterRole", namespace, name), rules, **more)  # type: ignore[arg-type] # passed through


def aggregate(name: str, *selectors: tuple[LabelRequirement, ...], **labels: str) -> Role:
    """A ClusterRole that nobody filled."""
    return Role(ObjectName("ClusterRole", None, name), None, tuple(sorted(labels.items())), selectors)


def labelled(key: str, *values: str, operator: str = "In") -> tuple[LabelRequirement, ...]:
    """A selector with one requirement."""
    return (LabelRequirement(key, operator, values),)


def bind(
    name: str, to: str, *subjects: Subject, namespace: str | None = "app", kind: str | None = None, **more: object
) -> Binding:
    """A RoleBinding, or a ClusterRoleBinding where namespace is None; `kind` of the role follows unless given."""
    own = ObjectName("RoleBinding" if namespace else "ClusterRoleBinding", namespace, name)
    return Binding(own, kind or ("Role" if namespace else "ClusterRole"), to, subjects, **more)  # type: ignore[arg-type] # passed through


def sa(name: str, namespace: str | None = "app") -> Subject:
    """A ServiceAccount subject."""
    return Subject("ServiceAccount", name, namespace)


def naive_allowing(
    roles: Iterable[Role],
    bindings: Iterable[Binding],
    account: Account,
    verb: str,
    namespace: str | None,
    name: str | None,
    at: float | None = None,
) -> set[tuple[ObjectName, ObjectName]]:
    """(binding, role) of everything that by itself allows the request; `at`: that stood at that time."""
    roles, found = list(roles), set()
    for binding in bindings:
        for held in roles:
            if (
                refers(binding, held)
                and together(binding, held, at)
                and is_subject(binding, account)
                and is_for(binding, namespace)
            ):
                for each in rules_of(held, roles):
                    if matches(each, verb, name):
                        found.add((binding.name, held.name))
    return found


def refers(binding: Binding, held: Role) -> bool:
    if binding.role_kind == "ClusterRole":
        return held.name == ObjectName("ClusterRole", None, binding.role_name)
    home = binding.name.namespace
    return binding.role_kind == "Role" and home is not None and held.name == ObjectName("Role", home, binding.role_name)


def together(binding: Binding, held: Role, at: float | None) -> bool:
    """Whether both stood at one time, and, if asked, at that one."""
    begin = max(binding.valid_from, held.valid_from)
    end = min(math.inf if each.gone_at is None else each.gone_at for each in (binding, held))
    return begin <= end and (at is None or begin - TOLERANCE_S <= at <= end + TOLERANCE_S)


def is_subject(binding: Binding, account: Account) -> bool:
    user = f"system:serviceaccount:{account.namespace}:{account.name}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated"]
    for subject in binding.subjects:
        if subject.kind == "User" and subject.name == user:
            return True
        if subject.kind == "Group" and subject.name in groups:
            return True
        if subject.kind == "ServiceAccount":
            namespace = subject.namespace or binding.name.namespace
            if namespace and f"system:serviceaccount:{namespace}:{subject.name}" == user:
                return True
    return False


def is_for(binding: Binding, namespace: str | None) -> bool:
    return binding.name.kind == "ClusterRoleBinding" or (namespace is not None and binding.name.namespace == namespace)


def rules_of(held: Role, roles: list[Role], above: frozenset[ObjectName] = frozenset()) -> list[Rule]:
    if held.rules is not None:
        return list(held.rules)
    found: list[Rule] = []
    for other in roles:
        counts = other.gone_at is None or other.gone_at == math.inf
        if counts and other.name.kind == "ClusterRole" and other.name != held.name and other.name not in above:
            labels = dict(other.labels)
            if any(all(requirement_met(each, labels) for each in selector) for selector in held.aggregation):
                found += rules_of(other, roles, above | {held.name})
    return found


def requirement_met(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    has = requirement.key in labels
    fits = has and labels[requirement.key] in requirement.values
    return {"In": fits, "NotIn": not fits, "Exists": has, "DoesNotExist": not has}[requirement.operator]


def naive_can(
    roles: Iterable[Role],
    bindings: Iterable[Binding],
    account: Account,
    verb: str,
    what: str,
    namespace: str | None,
    name: str | None,
) -> bool:
    """Whether any request at all is allowed now; `what`: group:resource or group:resource/subresource."""
    roles = list(roles)
    group, _, resource = what.partition(":")
    return any(
        can(each, verb, group, resource, name)
        for binding in bindings
        for held in roles
        if refers(binding, held)
        and binding.gone_at is None
        and held.gone_at is None
        and is_subject(binding, account)
        and is_for(binding, namespace)
        for each in rules_of(held, roles)
    )


def can(each: Rule, verb: str, group: str, resource: str, name: str | None) -> bool:
    """One rule against one request, as evaluation_helpers.go has it."""
    _, slash, subresource = resource.partition("/")
    verb_fits = any(entry in ("*", verb) for entry in each.verbs)
    group_fits = any(entry in ("*", group) for entry in each.api_groups)
    resource_fits = any(
        entry == "*" or entry == resource or (bool(slash) and entry == f"*/{subresource}") for entry in each.resources
    )
    name_fits = not each.resource_names or (name or "") in each.resource_names
    return verb_fits and group_fits and resource_fits and name_fits


def matches(each: Rule, verb: str, name: str | None) -> bool:
    for rule_verb in each.verbs:
        for group in each.api_groups:
            for resource in each.resources:
                if rule_verb in (verb, "*") and group in ("", "*") and resource in ("secrets", "*"):
                    if not each.resource_names:
                        return True
                    for resource_name in each.resource_names:
                        if resource_name == ("" if name is None else name):
                            return True
    return False
