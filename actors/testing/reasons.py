"""What kube-apiserver's RBAC authorizer writes into `authorization.k8s.io/reason`, for what it allows and what it denies.

Counterpart: the parser's reading of these texts, which shares nothing with this file, so that each checks the other.
"""

from __future__ import annotations

from typing import Final

from actors.evidence import ObjectName

__all__ = ["allowed_by", "go_quote", "missing_role"]

_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def go_quote(text: str) -> str:
    """The text as Go's %q prints it (strconv.Quote): printable Unicode stays, everything else becomes an escape."""
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    point = ord(char)
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def allowed_by(binding: ObjectName, role: ObjectName, subject_kind: str, subject: str) -> str:
    """The reason RBAC writes (kubernetes plugin/pkg/auth/authorizer/rbac, describers).

    `subject` is "name/namespace" for a ServiceAccount (name first, as the API server has it), else the plain name.
    """
    bound = binding.name if binding.namespace is None else f"{binding.name}/{binding.namespace}"
    return (
        f"RBAC: allowed by {binding.kind} {go_quote(bound)} of {role.kind} {go_quote(role.name)} "
        f"to {subject_kind} {go_quote(subject)}"
    )


def missing_role(role_kind: str, name: str) -> str:
    """The reason of a denial when a binding of the caller names a role that is not there."""
    return f"RBAC: {role_kind.lower()}.rbac.authorization.k8s.io {go_quote(name)} not found"
