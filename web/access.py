"""`protector access`: who may read which Secrets, from snapshots of a cluster.

Counterpart: actors/grants, which the engine uses too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from actors.cluster.source import ClusterFileError
from actors.evidence import Account, is_namespace_name, is_object_name
from actors.grants import BadQuery, Escalation, Grant, Grants, access_of, answer_queries, parse_account, readers_of
from web.ask import table
from web.snapshots import grants_of, model_of

NAMES_SHOWN_MAX: Final = 5
"""Names of objects in one line."""


class AccessError(Exception):
    """The question cannot be answered. One line for the person."""


def run_access(
    files: Sequence[Path],
    *,
    account: str | None,
    secret: str | None,
    queries: Any,
    out: TextIO,
    escalations: bool = False,
) -> None:
    """Answers one of the three questions (all accounts and their scopes if none is asked). `queries`: a binary file or None.

    `escalations`: not what the accounts may read, but what else they may do that leads to Secrets.
    """
    if sum(question is not None for question in (account, secret, queries)) > 1:
        raise AccessError("ask one question: --account, --secret or --queries")
    if escalations and (secret is not None or queries is not None):
        raise AccessError("--escalations: of all accounts, or with --account of one")
    try:
        model = model_of(files, now=time.time())
    except ClusterFileError as error:
        raise AccessError(str(error)) from None
    grants = grants_of(model)
    known = sorted({*model.accounts(), *grants.named_accounts()})
    if queries is not None:
        try:
            out.writelines(answer.decode() + "\n" for answer in answer_queries(grants, queries))
        except BadQuery as error:
            raise AccessError(f"--queries: {error}") from None
    elif secret is not None:
        _show_readers(grants, secret, known, out)
    else:
        try:
            asked = known if account is None else [parse_account(account)]
        except ValueError as error:
            raise AccessError(f"--account {account!r}: {error}") from None
        if escalations:
            _show_escalations(grants, asked, out)
        else:
            _show_access(grants, asked, out)


def _grant_text(grant: Grant) -> str:
    return f"{grant.binding} of {grant.role}"


def _show_readers(grants: Grants, secret: str, known: Sequence[Account], out: TextIO) -> None:
    namespace, _, name = secret.partition("/")
    if not is_namespace_name(namespace) or not is_object_name(name):
        raise AccessError(f"--secret {secret!r}: a Secret is namespace/name")
    rows = [("ACCOUNT", "VERBS", "GRANT")]
    for reader in readers_of(grants, namespace, name, known):
        rows += [
            (str(reader.account), ",".join(grant.verbs_on(namespace, name)), _grant_text(grant))
            for grant in reader.grants
        ]
    table(rows, out)


def _show_access(grants: Grants, accounts: Sequence[Account], out: TextIO) -> None:
    rows = [("ACCOUNT", "SECRETS", "VERBS", "GRANT")]
    for account in accounts:
        rows += [
            (str(account), str(found.scope), ",".join(found.verbs), _grant_text(found.grant))
            for found in access_of(grants, account)
        ]
    table(rows, out)


def _show_escalations(grants: Grants, accounts: Sequence[Account], out: TextIO) -> None:
    """One line an escalation: what it is, where, on which objects, through which grants, and whom or what one gets hold of."""
    rows = [("ACCOUNT", "EDGE", "TECHNIQUE", "VERBS", "GETS HOLD OF", "GRANT", "AND")]
    for account in accounts:
        rows += [
            (
                str(account),
                found.edge.label,
                found.edge.technique,
                ",".join(found.verbs),
                _hold_text(found),
                _grant_text(found.grant),
                "" if found.besides is None else _grant_text(found.besides),
            )
            for found in grants.escalations_of(account)
        ]
    table(rows, out)


def _hold_text(found: Escalation) -> str:
    which = "" if found.names is None else f" ({', '.join(found.names[:NAMES_SHOWN_MAX])})"
    more = (
        ""
        if found.names is None or len(found.names) <= NAMES_SHOWN_MAX
        else f" and {len(found.names) - NAMES_SHOWN_MAX} more"
    )
    return f"{found.edge.through} of {found.namespace or '*'}{which}{more}"
