"""Accounts, scopes and pods that events name, checked against what Kubernetes allows, and made once for each.

Only what Kubernetes allows is remembered, so hostile texts cannot fill a memo with anything long.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.evidence import LABEL_MAX, NAME_MAX, Account, PodClaim, Scope, is_namespace_name, is_object_name
from actors.parser.memo import Memo, MemoStatistics

PREFIX: Final = "system:serviceaccount:"
"""How user names of ServiceAccounts begin (k8s.io/apiserver pkg/authentication/serviceaccount/util.go)."""
USERNAME_LEN_MAX: Final = len(PREFIX) + LABEL_MAX + 1 + NAME_MAX
"""Longest user name of a ServiceAccount."""
UID_LEN_MAX: Final = 128
"""Longest pod uid: a UUID has 36 characters, the hash of a static pod 32."""
TEXT_LEN_MAX: Final = 512
"""Longest free text (user agent) that is kept; the rest is cut off (design 2.1)."""
ACCOUNTS_MAX: Final = 16_384
SCOPES_MAX: Final = 32_768
NAMESPACES_MAX: Final = 16_384
HOLDERS_MAX: Final = 32_768
TEXTS_MAX: Final = 8_192

Texts = tuple[str, ...] | None
"""A value of `user.extra`: a list of one text, or absent."""


class Holder(Struct, frozen=True, gc=False):
    """For whom a token was issued: the pod, and the node."""

    claim: PodClaim | None
    node: str | None


def is_overlong_account(username: str) -> bool:
    """Whether this begins as a ServiceAccount's user name, but with names longer than Kubernetes allows."""
    if not username.startswith(PREFIX):
        return False
    namespace, _, name = username[len(PREFIX) :].partition(":")
    return len(namespace) > LABEL_MAX or len(name) > NAME_MAX


def _account(username: str) -> Account | None:
    if len(username) > USERNAME_LEN_MAX or not username.startswith(PREFIX):
        return None
    namespace, _, name = username[len(PREFIX) :].partition(":")
    return Account(namespace, name) if is_namespace_name(namespace) and is_object_name(name) else None


def _scope(names: tuple[str | None, str | None]) -> Scope | None:
    namespace, name = names
    if (namespace and not namespaces[namespace]) or (name and not is_object_name(name)):
        return None
    return Scope(namespace or None, name or None)


def _holder(extra: tuple[Texts, Texts, Texts]) -> Holder | None:
    pod, uid, node = (texts[0] if texts else "" for texts in extra)
    if len(pod) > NAME_MAX or len(uid) > UID_LEN_MAX or len(node) > NAME_MAX:
        return None
    return Holder(PodClaim(pod or None, uid or None) if pod or uid else None, node or None)


namespaces: Final[Memo[str, bool]] = Memo(is_namespace_name, NAMESPACES_MAX, lambda text, _: len(text) <= LABEL_MAX)
"""Whether a text is the name of a namespace: many Secrets are in one."""
accounts: Final[Memo[str, Account | None]] = Memo(
    _account, ACCOUNTS_MAX, lambda username, _: len(username) <= USERNAME_LEN_MAX
)
"""The ServiceAccount of a user name; None: not exactly `system:serviceaccount:<namespace>:<name>`, both valid."""
scopes: Final[Memo[tuple[str | None, str | None], Scope | None]] = Memo(
    _scope, SCOPES_MAX, lambda _, scope: scope is not None
)
"""The scope of a request by namespace and name ("" is as absent); None: Kubernetes allows no such name."""
holders: Final[Memo[tuple[Texts, Texts, Texts], Holder | None]] = Memo(
    _holder, HOLDERS_MAX, lambda extra, holder: holder is not None and all(not t or len(t) == 1 for t in extra)
)
"""For whom the token with this pod name, pod uid and node name was issued; None: longer than Kubernetes allows."""
texts: Final[Memo[str, str]] = Memo(
    lambda text: text[:TEXT_LEN_MAX], TEXTS_MAX, lambda text, _: len(text) <= TEXT_LEN_MAX
)
"""The text, cut, and the same object for the same text: thousands of reads share one user agent."""


def memo_statistics() -> dict[str, MemoStatistics]:
    """The figures of this module's memos by name."""
    return {
        "accounts": accounts.statistics(),
        "namespaces": namespaces.statistics(),
        "scopes": scopes.statistics(),
        "holders": holders.statistics(),
        "texts": texts.statistics(),
    }
