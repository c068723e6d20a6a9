"""The rule of what counts as a read (design 2.1), as a table of the reasons for which an item is dropped.

Two rules of this file: the first row that applies gives the reason; and a row looks at the item and at nothing else. That an item is
unreadable (`malformed`) or too large (`oversized`) is found before there is an item to look at.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from actors.messages import PROBE, PROBE_VERB
from actors.parser.names import accounts, holders, is_overlong_account, scopes
from actors.parser.views import Item

READ_VERBS: Final = frozenset({"get", "list", "watch"})
CLOSED_EARLY: Final = "Connection closed early"
"""The message of a request whose client left before anything was written (k8s.io/apiserver pkg/endpoints/filters/audit.go)."""


class Drop(enum.StrEnum):
    """Why an item is no read, in the order of precedence."""

    PROBE = PROBE  # of `protector doctor`; beside the contract's reasons, and first, as its verb is no other row's
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    NOT_A_READ = "not_a_read"
    NOT_A_SECRET = "not_a_secret"  # noqa: S105 - a reason, no password
    STAGE = "stage"
    IMPERSONATED = "impersonated"
    NOT_A_SERVICE_ACCOUNT = "not_a_service_account"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    FAILED = "failed"
    CLOSED_EARLY = "closed_early"
    NOT_AUDIT = "not_audit"
    """What a forwarder sent beside audit events: lines of other logs. It never stands for an event."""


def _has_no_verb(item: Item) -> bool:
    return item.verb is None


def _is_probe(item: Item) -> bool:
    return item.verb == PROBE_VERB


def _is_no_read(item: Item) -> bool:
    return item.verb not in READ_VERBS


def _is_no_secret(item: Item) -> bool:
    ref = item.object_ref
    return ref is None or ref.resource != "secrets" or bool(ref.api_group) or bool(ref.subresource)


def _has_impossible_names(item: Item) -> bool:
    """Whether a name is longer than Kubernetes allows, or one of the request is none that it allows.

    It stands behind the rows for other verbs and resources, whose names have other rules (`system:node`, paths, 300 characters):
    only what asks for Secrets is held to these. A caller with invalid names of a possible length is simply no account.
    """
    ref, user = item.object_ref, item.user
    if ref is not None and scopes[ref.namespace, ref.name] is None:
        return True
    if user is None:
        return False
    username, extra = user.username, user.extra
    if username is not None and accounts[username] is None and is_overlong_account(username):
        return True
    return extra is not None and holders[extra.pod_name, extra.pod_uid, extra.node_name] is None


def _is_not_its_stage(item: Item) -> bool:
    stage = item.stage
    if stage == "ResponseComplete" or not stage:  # hand-made events have none
        return False
    return not (stage == "ResponseStarted" and item.verb == "watch")


def _is_impersonated(item: Item) -> bool:
    return item.impersonated_user is not None


def _is_no_account(item: Item) -> bool:
    user = item.user
    return user is None or user.username is None or accounts[user.username] is None


def _is_denied(item: Item) -> bool:
    annotations = item.annotations
    return annotations is None or annotations.decision != "allow"


def _is_not_found(item: Item) -> bool:
    status = item.response_status
    return status is not None and status.code == 404


def _is_failed(item: Item) -> bool:
    status = item.response_status
    return status is not None and status.code is not None and not 200 <= status.code <= 299


def _is_closed_early(item: Item) -> bool:
    status = item.response_status
    return status is not None and status.message == CLOSED_EARLY


RULES: Final[tuple[tuple[Drop, Callable[[Item], bool]], ...]] = (
    (Drop.MALFORMED, _has_no_verb),
    (Drop.PROBE, _is_probe),
    (Drop.NOT_A_READ, _is_no_read),
    (Drop.NOT_A_SECRET, _is_no_secret),
    (Drop.MALFORMED, _has_impossible_names),  # only of what asks for Secrets: other things have other rules for names
    (Drop.STAGE, _is_not_its_stage),
    (Drop.IMPERSONATED, _is_impersonated),
    (Drop.NOT_A_SERVICE_ACCOUNT, _is_no_account),
    (Drop.DENIED, _is_denied),
    (Drop.NOT_FOUND, _is_not_found),
    (Drop.FAILED, _is_failed),
    (Drop.CLOSED_EARLY, _is_closed_early),
)
_NOT_WELL: Final = frozenset({Drop.STAGE, Drop.IMPERSONATED, Drop.NOT_FOUND, Drop.FAILED, Drop.CLOSED_EARLY})
"""Reasons for which also the end of a watch is dropped that was let through when it began."""
_ENDS: Final = frozenset({"ResponseComplete", "Panic", "", None})
"""Stages behind which nothing comes (k8s.io/apiserver pkg/apis/audit/v1/types.go)."""
_BEHIND_IMPERSONATED: Final = RULES[[drop for drop, _ in RULES].index(Drop.IMPERSONATED) + 1 :]


def judge(item: Item) -> Drop | None:
    """Why the item is dropped; None: it is a read."""
    for drop, applies in RULES:
        if applies(item):
            return drop
    return None


def ends_watch(dropped: Item, reason: Drop) -> bool:
    """Whether an item dropped for this reason is no read, and yet the end of a watch that began as one."""
    return (
        reason in _NOT_WELL
        and dropped.verb == "watch"
        and dropped.stage in _ENDS
        and not (_is_no_account(dropped) or _is_denied(dropped))
    )


def is_borrowed(impersonated: Item) -> bool:
    """Whether an item dropped as `impersonated` would be a read by an account, had it not been made as somebody else."""
    return not any(applies(impersonated) for _, applies in _BEHIND_IMPERSONATED)
