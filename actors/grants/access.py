"""Answers to "who may read what": by Secret, by account, and as a stream of queries (`protector access`). Pure.

Only what stands now counts here; grants that are remembered answer for past reads, not for access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from actors.evidence import Account, ObjectName, Scope, is_namespace_name, is_object_name
from actors.grants.grant import Grant
from actors.grants.index import Grants
from actors.grants.rules import READ_VERBS

LINE_BYTES_MAX: Final = 65536
"""Longest query line."""


class BadQuery(Exception):  # noqa: N818 - it is the query that is bad, and the user reads its text
    """A query that cannot be answered; the text begins with the number of its line."""


class Reader(Struct, frozen=True):
    """An account that may read a Secret: by which verbs, through which grants."""

    account: Account
    verbs: tuple[str, ...]
    grants: tuple[Grant, ...]


class AccountAccess(Struct, frozen=True):
    """One thing that an account may read: these Secrets, by these verbs, through this grant."""

    grant: Grant
    scope: Scope
    verbs: tuple[str, ...]


def readers_of(grants: Grants, namespace: str, name: str, accounts: Iterable[Account]) -> list[Reader]:
    """Those of the accounts that may read this Secret, in their order, by name or within a collection.

    `accounts`: the known ones; accounts that only bindings name are in `Grants.named_accounts()`.
    """
    found: list[Reader] = []
    for account in accounts:
        covering = [
            (grant, verbs)
            for grant in grants.grants_of(account)
            if not grant.revoked and (verbs := grant.verbs_on(namespace, name))
        ]
        if covering:
            all_verbs = {verb for _, each in covering for verb in each}
            in_order = tuple(verb for verb in READ_VERBS if verb in all_verbs)
            found.append(Reader(account, in_order, tuple(grant for grant, _ in covering)))
    return found


def access_of(grants: Grants, account: Account) -> list[AccountAccess]:
    """Everything that the account may read, one entry a grant and scope."""
    return [
        AccountAccess(grant, scope, grant.verbs_for(scope))
        for grant in grants.grants_of(account)
        if not grant.revoked
        for scope in grant.scopes()
    ]


# --- queries as JSON lines -------------------------------------------------------------------------------------------


class _Query(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    account: str
    verb: str
    namespace: str | None = None
    name: str | None = None


class _NamedGrant(Struct, frozen=True, gc=False):
    binding: ObjectName
    role: ObjectName


class _Answer(Struct, frozen=True, gc=False):
    allowed: bool
    grants: list[_NamedGrant]


_DECODER: Final = msgspec.json.Decoder(_Query)
_ENCODER: Final = msgspec.json.Encoder()


def answer_queries(grants: Grants, lines: Iterable[bytes]) -> Iterator[bytes]:
    """One JSON line (without its end) for each query line, in order; empty lines are skipped. Raises BadQuery.

    Query: `{"account":"ns/name","verb":"get","namespace":"x"|null,"name":"y"|null}`; namespace null asks for every
    namespace, name null for the collection. Answer: `{"allowed":true,"grants":[{"binding":{...},"role":{...}}]}`.
    """
    for number, line in enumerate(lines, 1):
        if line and not line.isspace():
            yield _answer(grants, number, line)


def _answer(grants: Grants, number: int, line: bytes) -> bytes:
    if len(line) > LINE_BYTES_MAX:
        raise BadQuery(f"line {number}: longer than {LINE_BYTES_MAX} bytes")
    try:
        query = _DECODER.decode(line)
    except msgspec.ValidationError as fault:
        raise BadQuery(f"line {number}: {fault}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadQuery(f"line {number}: not valid JSON") from None
    if query.verb not in READ_VERBS:
        raise BadQuery(f"line {number}: verb must be get, list or watch")
    try:
        account = parse_account(query.account)
    except ValueError as fault:
        raise BadQuery(f"line {number}: {fault}") from None
    found = [each for each in grants.allowing(account, query.verb, query.namespace, query.name) if not each.revoked]
    return _ENCODER.encode(_Answer(bool(found), [_NamedGrant(each.binding, each.role) for each in found]))


def parse_account(text: str) -> Account:
    """The account written as namespace/name. Raises ValueError with what is expected."""
    namespace, _, name = text.partition("/")
    if not is_namespace_name(namespace) or not is_object_name(name):
        raise ValueError("account must be namespace/name")
    return Account(namespace, name)
