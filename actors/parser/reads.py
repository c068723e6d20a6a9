"""Makes a read of an item that the rule let through. Times: epoch seconds; what lies ahead of the receipt is clamped to it, once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import unquote_plus

from actors.evidence import Read
from actors.parser.names import accounts, holders, scopes, texts
from actors.parser.reason import named_grants
from actors.parser.views import Item

WATCH_S_MAX: Final = 3_600.0
"""How long a watch counts as open at most; also of one that names no timeout (the API server picks 1,800 to 3,600 s then)."""
AUDIT_ID_LEN_MAX: Final = 128
"""Longest audit id that is kept; it is the client's choice and unbounded (k8s.io/apiserver filters/audit_init.go)."""
ADDRESS_LEN_MAX: Final = 64
"""Longest source address that is kept; IPv6 with a zone stays below it."""
CREDENTIAL_LEN_MAX: Final = 256
"""Longest credential id that is kept: `JTI=<uuid>` or `X509SHA256=<hex>`."""
QUERY_PAIRS_MAX: Final = 1_000
"""Most parameters of a request URI that are looked at for the timeout."""


_PLAIN_VERBS: Final = frozenset({"get", "list"})
_parse_time = datetime.fromisoformat


def at_of(text: str | None) -> float | None:
    """Epoch seconds of an RFC 3339 time; None if absent, not one, or before 1970 (Go writes the zero time as year 1)."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds = at.timestamp() if at.tzinfo is not None else 0.0
    return seconds if seconds > 0.0 else None


def open_s_of(uri: str | None) -> float:
    """How long the watch with this request URI can stay open at most, in seconds."""
    if uri is None or ("timeoutSeconds" not in uri and "%" not in uri):
        return WATCH_S_MAX
    for value in _values(uri.partition("?")[2], "timeoutSeconds"):
        if value.isdecimal() and len(value) < 10 and int(value) > 0:
            return min(float(value), WATCH_S_MAX)
        break  # the API server takes the first one, and refuses what is no number
    return WATCH_S_MAX


def _values(query: str, name: str) -> Iterator[str]:
    """The values of one parameter as Go's net/url reads them: keys unescaped, pairs with a semicolon ignored."""
    for pair in query.split("&", QUERY_PAIRS_MAX):
        key, _, value = pair.partition("=")
        if ";" not in pair and unquote_plus(key) == name:
            yield unquote_plus(value)


def uri_hash_of(uri: str | None) -> int:
    """64 bits, signed so that every store takes them, which are the same for the same URI in every process."""
    return int.from_bytes(hashlib.blake2b((uri or "").encode(), digest_size=8).digest(), signed=True)


def plain_read_of(item: Item, received_at: float) -> Read | None:
    """The read of an item that plainly is one, rule and making in one go; None: let the rule's table and `read_of` decide.

    Nearly all items of a policy for Secrets are such, and a row of the table costs a call. Tests hold it against the two.
    """
    user, ref, annotations, status = item.user, item.object_ref, item.annotations, item.response_status
    if (
        user is None
        or ref is None
        or annotations is None
        or (verb := item.verb) not in _PLAIN_VERBS
        or item.stage != "ResponseComplete"
        or ref.resource != "secrets"
        or ref.api_group
        or ref.subresource
        or annotations.decision != "allow"
        or item.impersonated_user is not None
        or (status is not None and (status.code != 200 or status.message is not None))
        or (username := user.username) is None
        or (extra := user.extra) is None
        or (received := item.received) is None
    ):
        return None
    scope, account = scopes[ref.namespace, ref.name], accounts[username]
    holder = holders[extra.pod_name, extra.pod_uid, extra.node_name]
    if scope is None or account is None or holder is None:
        return None
    try:
        time = _parse_time(received)
    except ValueError:
        return None
    if time.tzinfo is None or (at := time.timestamp()) <= 0.0:
        return None
    if at > received_at:
        at = received_at
    credentials, addresses, agent, reason = extra.credential_id, item.source_ips, item.user_agent, annotations.reason
    return Read(
        account,
        scope,
        verb,  # type: ignore[arg-type]  # one of the three: just looked
        at,
        at,
        True,
        0.0,
        holder.claim,
        holder.node,
        credentials[0][:CREDENTIAL_LEN_MAX] if credentials else None,
        addresses[-1][:ADDRESS_LEN_MAX] if addresses else None,
        texts[agent] if agent else None,
        (item.audit_id or "")[:AUDIT_ID_LEN_MAX],
        0,
        named_grants[reason] if reason else None,
    )


def read_of(item: Item, received_at: float, staged_at: float | None, *, borrowed: bool = False) -> Read:
    """The read of an item that the rule let through. `staged_at`: its stage time, not clamped, if it has one.

    Only watches get a URI hash and a time to stay open: nothing else needs to be told from another by them.
    """
    user, ref, annotations = item.user, item.object_ref, item.annotations
    account = accounts[user.username] if user is not None and user.username is not None else None
    scope = scopes[ref.namespace, ref.name] if ref is not None else None
    if user is None or account is None or scope is None or annotations is None:
        raise ValueError("the rule lets only allowed reads of Secrets by accounts through")
    at = at_of(item.received)
    if at is None:
        at = received_at if staged_at is None else staged_at
    sent_at, at = at, min(at, received_at)
    extra = user.extra
    holder = None if extra is None else holders[extra.pod_name, extra.pod_uid, extra.node_name]
    credentials = None if extra is None else extra.credential_id
    addresses, agent, reason = item.source_ips, item.user_agent, annotations.reason
    is_watch = item.verb == "watch"
    return Read(
        account,
        scope,
        item.verb,  # type: ignore[arg-type]  # one of the three: the rule has looked
        at,
        at if staged_at is None or not is_watch else min(staged_at, received_at),
        not is_watch or item.stage != "ResponseStarted",
        open_s_of(item.request_uri) if is_watch else 0.0,
        None if holder is None else holder.claim,
        None if holder is None else holder.node,
        credentials[0][:CREDENTIAL_LEN_MAX] if credentials else None,
        addresses[-1][:ADDRESS_LEN_MAX] if addresses else None,
        texts[agent] if agent else None,
        (item.audit_id or "")[:AUDIT_ID_LEN_MAX],
        uri_hash_of(item.request_uri) if is_watch else 0,
        named_grants[reason] if reason else None,
        borrowed,
        sent_at=sent_at if is_watch else 0.0,
    )
