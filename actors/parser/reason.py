r"""Which binding and role the API server says allowed a request: the annotation `authorization.k8s.io/reason`.

Counterpart: kubernetes pkg/registry/rbac/validation/rule.go (clusterRoleBindingDescriber, roleBindingDescriber), which print

    RBAC: allowed by RoleBinding "NAME/NAMESPACE" of Role|ClusterRole "R" to ServiceAccount|User|Group "…"
    RBAC: allowed by ClusterRoleBinding "NAME" of ClusterRole "R" to …

with every name as Go's %q does (strconv.Quote), so a name can hold ` of Role ` or `\"` and must be read quote by quote. Anything
else (another authorizer, a cut text) names no grant.
"""

from __future__ import annotations

import re
from typing import Final

from actors.evidence import GrantName, ObjectName
from actors.parser.memo import Memo

REASON_LEN_MAX: Final = 16_384
"""Longest reason that is read: three names of 253 characters and two namespaces, every character escaped, stay below it."""
KEPT_LEN_MAX: Final = 1_024
"""Longest reason that is remembered; real ones have 100 to 250 characters."""
REASONS_MAX: Final = 8_192
"""Most reasons that are remembered."""

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_allowed_by = re.compile(
    rf"RBAC: allowed by (ClusterRoleBinding|RoleBinding) {_QUOTED} of (ClusterRole|Role) {_QUOTED}"
    rf" to (?:ServiceAccount|User|Group) {_QUOTED}",
    re.DOTALL,
)
_escape = re.compile(r"\\(?:x([0-7][0-9a-f])|u([0-9a-f]{4})|U(00[01][0-9a-f]{5})|(.?))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


def _character(match: re.Match[str]) -> str:
    x, u, wide, simple = match.groups()
    if simple is not None:
        return _SIMPLE[simple]
    character = chr(int(x or u or wide, 16))
    if "\ud800" <= character <= "\udfff":
        raise ValueError("half of a surrogate pair is no character")
    return character


def unquote(quoted: str) -> str | None:
    """The text that Go's %q printed between its quotes; None for what it never prints (also raw bytes that are no UTF-8)."""
    if "\\" not in quoted:
        return quoted
    try:
        return _escape.sub(_character, quoted)
    except (KeyError, ValueError):
        return None


def _named_grant(reason: str) -> GrantName | None:
    match = _allowed_by.fullmatch(reason) if len(reason) <= REASON_LEN_MAX else None
    if match is None:
        return None
    binding_kind, role_kind = match[1], match[3]
    binding, role = unquote(match[2]), unquote(match[4])
    if not binding or not role or unquote(match[5]) is None:
        return None
    if binding_kind == "ClusterRoleBinding":
        if role_kind == "Role":  # grants nothing, so the API server never says so
            return None
        return GrantName(ObjectName(binding_kind, None, binding), ObjectName(role_kind, None, role))
    name, slash, namespace = binding.rpartition("/")
    if not (slash and name and namespace):
        return None
    role_namespace = namespace if role_kind == "Role" else None
    return GrantName(ObjectName(binding_kind, namespace, name), ObjectName(role_kind, role_namespace, role))


named_grants: Final[Memo[str, GrantName | None]] = Memo(
    _named_grant, REASONS_MAX, lambda reason, _: len(reason) <= KEPT_LEN_MAX
)
"""The grant that a reason names, or None if it names none."""
