"""`protector access --unused` and `--narrowest`: what is granted against what was used. Counterpart: actors/grants/usage.py.

What was used comes from recorded audit logs, or from a running server's history. Either knows only as far back as it goes: both
outputs say since when, and a right that is needed once a year looks unused until then.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from msgspec import Struct

from actors.cluster.model import ClusterModel
from actors.cluster.records import Binding, Role
from actors.cluster.source import ClusterFileError
from actors.evidence import Account, ObjectName, Scope
from actors.evidence.times import rfc3339
from actors.grants import NarrowRole, NarrowRule, Use, by_account, narrowest, parse_account, unused
from web.access import AccessError
from web.ask import Server, table
from web.replay import reads_of
from web.snapshots import grants_of, model_of

USES_MAX: Final = 1_000_000
"""Distinct (account, Secret, verb) of the logs. Overflow: refused."""
DAY_S: Final = 86_400.0
UNUSED_DAYS: Final = 30.0
"""What is not used for so long counts as unused, where nothing else is asked for."""
API_GROUP: Final = "rbac.authorization.k8s.io"


class Uses(Struct, frozen=True):
    """What was used. `since`, `until`: what it covers (epoch seconds); None: nothing is known."""

    uses: list[Use]
    since: float | None
    until: float | None


def uses_of_logs(logs: Sequence[Path]) -> Uses:
    """From recorded audit logs; their end is the present. Raises ReplayError, AccessError."""
    found: dict[tuple[Account, Scope, str], tuple[float, float, int]] = {}
    for read in reads_of(logs, time.time()):
        if read.borrowed or read.ends_only:
            continue
        key = (read.account, read.scope, read.verb)
        first, last, count = found.get(key, (read.at, read.at, 0))
        found[key] = (min(first, read.at), max(last, read.at), count + 1)
        if len(found) > USES_MAX:
            raise AccessError(f"the logs hold more than {USES_MAX} distinct reads; give them in parts")
    uses = [Use(*key, *value) for key, value in found.items()]
    return Uses(
        uses, min((use.first_seen for use in uses), default=None), max((use.last_seen for use in uses), default=None)
    )


def uses_of_server(server: Server) -> Uses:
    """From a running server's history. Raises AskError."""
    since = server.get("/api/history", limit="1")["since"]
    return Uses(
        [_use(row) for row in server.pages("/api/history", "history")],
        None if since is None else _epoch(since),
        time.time(),
    )


def _use(row: dict[str, Any]) -> Use:
    account, secret = row["service_account"], row["secret"]
    return Use(
        Account(account["namespace"], account["name"]),
        Scope(secret["namespace"], secret["name"]),
        row["verb"],
        _epoch(row["first_seen"]),
        _epoch(row["last_seen"]),
        row["count"],
    )


def _epoch(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def show_unused(model: ClusterModel, account: Account | None, known: Uses, days: float, out: TextIO) -> bool:
    """A table of what is granted and was not used in so many days; whether there is any."""
    grants = grants_of(model)
    accounts = sorted({*model.accounts(), *grants.named_accounts()}) if account is None else [account]
    until = time.time() if known.until is None else known.until
    rows = [("ACCOUNT", "SECRETS", "UNUSED VERBS", "LAST USED", "GRANT")]
    for each in unused(grants, accounts, by_account(known.uses), until - days * DAY_S):
        last = "never seen" if each.last_seen is None else rfc3339(each.last_seen)
        grant = f"{each.grant.binding} of {each.grant.role}"
        rows.append((str(each.account), str(each.scope), ",".join(each.verbs), last, grant))
    _say_since(known, days)
    table(rows, out)
    return len(rows) > 1


def show_narrowest(model: ClusterModel, account: Account | None, known: Uses, days: float | None, out: TextIO) -> bool:
    """The narrowest roles as YAML for `kubectl diff -f -`; whether there is any."""
    records = list(model.records())
    roles = [record for record in records if isinstance(record, Role) and record.gone_at is None]
    bindings = [record for record in records if isinstance(record, Binding) and record.gone_at is None]
    grants = grants_of(model)
    after = -1.0 if days is None or known.until is None else known.until - days * DAY_S
    used = by_account(use for use in known.uses if use.last_seen >= after)
    _say_since(known, days or 0.0)
    texts: list[str] = []
    for each in sorted(used) if account is None else [account]:
        narrow = narrowest(each, used.get(each, ()), roles, bindings)
        kept = {role.name for role in narrow if not role.is_new}
        others = [
            grant for grant in grants.grants_of(each) if not grant.revoked and grant.role not in kept
        ]  # what the account has besides: it has to go for the narrow roles to narrow anything
        notes = [f"# {each} has more by {grant.binding} of {grant.role}" for grant in others]
        texts += ["\n".join([*(notes if number == 0 else []), _yaml(role)]) for number, role in enumerate(narrow)]
    out.write("---\n".join(text + "\n" for text in texts))
    return bool(texts)


def _say_since(known: Uses, days: float) -> None:
    if known.since is None or known.until is None:
        sys.stderr.write("protector: nothing is known of what was used\n")
        return
    reach = (known.until - known.since) / DAY_S
    sys.stderr.write(f"protector: known since {rfc3339(known.since)} ({reach:.1f} days)\n")
    if reach < days:
        sys.stderr.write(
            f"protector: that is less than the {days:g} days asked for: what is rarely used may look unused\n"
        )


def _yaml(role: NarrowRole) -> str:
    lines = [*_head(role.name), "rules:", *(line for rule in role.rules for line in _rule(rule))]
    if role.is_new:
        kind = "ClusterRoleBinding" if role.name.kind == "ClusterRole" else "RoleBinding"
        lines += [
            "---",
            *_head(ObjectName(kind, role.name.namespace, role.name.name)),
            f"roleRef: {{apiGroup: {API_GROUP}, kind: {role.name.kind}, name: {_quoted(role.name.name)}}}",
            "subjects:",
            f"- {{kind: ServiceAccount, namespace: {_quoted(role.account.namespace)}, name: {_quoted(role.account.name)}}}",
        ]
    return "\n".join(lines)


def _head(name: ObjectName) -> list[str]:
    lines = [f"apiVersion: {API_GROUP}/v1", f"kind: {name.kind}", "metadata:", f"  name: {_quoted(name.name)}"]
    return lines if name.namespace is None else [*lines, f"  namespace: {_quoted(name.namespace)}"]


def _rule(rule: NarrowRule) -> list[str]:
    lines = ['- apiGroups: [""]', "  resources: [secrets]"]
    if rule.names:
        lines += ["  resourceNames:", *(f"  - {_quoted(name)}" for name in rule.names)]
    return [*lines, f"  verbs: [{', '.join(rule.verbs)}]"]


def _quoted(name: str) -> str:
    """Names of objects are letters, digits, dashes, dots and (of roles) colons; quoted, none of them is a number or a date."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def run_rights(
    files: Sequence[Path],
    account: str | None,
    uses: Callable[[], Uses],
    *,
    days: float | None,
    as_roles: bool,
    out: TextIO,
) -> bool:
    """One of the two questions; whether there is anything to show. Raises AccessError, and what `uses` raises."""
    try:
        asked = None if account is None else parse_account(account)
    except ValueError as error:
        raise AccessError(f"--account {account!r}: {error}") from None
    try:
        model = model_of(files, now=time.time())
    except ClusterFileError as error:
        raise AccessError(str(error)) from None
    known = uses()
    if as_roles:
        return show_narrowest(model, asked, known, days, out)
    return show_unused(model, asked, known, UNUSED_DAYS if days is None else days, out)


__all__ = ["Uses", "run_rights", "show_narrowest", "show_unused", "uses_of_logs", "uses_of_server"]
