"""Expected readers: who is known to read which Secrets, so that their evidence stays out of the first glance and of the flip log. Pure.

Two rules. An entry speaks for a read only if account, scope and verb match, the read was made before `until`, and the entry names every
signal that the evidence carries: what is unusual about a known reader is shown. And nothing is hidden: such evidence lights its
chains, is counted and answered as any other; it only opens no finding. Counterparts: edges.py (asks), web/expected_file.py (reads
the file), web/expected_checks.py (names entries that match nothing).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
import yaml
from msgspec import Struct

from actors.evidence import Account, Scope, Signal

ENTRIES_MAX: Final = 1000
"""Entries of a file. Overflow: the file is refused."""
PATTERNS_MAX: Final = 100
"""Secret patterns of one entry. Overflow: the file is refused."""
PATTERN_CHARS_MAX: Final = 512
REASON_CHARS_MAX: Final = 300

Verb = Literal["get", "list", "watch"]


class BadExpected(Exception):  # noqa: N818 - it is the file that is bad, and its author reads the text
    """The text is no list of expected readers. One line: which entry, what is wrong."""


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One expected reader."""

    account: str
    """`namespace/name` of the ServiceAccount; `*` stands for any characters but the slash."""
    secrets: tuple[str, ...]
    """`namespace/name` patterns. Only `namespace/*` speaks for reads of a whole namespace, and only `*` for cluster-wide ones."""
    reason: str
    """Why it reads them: what a person sees beside the evidence."""
    verbs: tuple[Verb, ...] = ("get", "list", "watch")
    until: dt.date | None = None
    """The last day (UTC) on which it is expected."""
    signals: tuple[Signal, ...] = ()
    """What its evidence may carry."""
    built_in: bool = False

    @property
    def ends_at(self) -> float | None:
        """The end of its last day, epoch seconds."""
        if self.until is None:
            return None
        day = dt.datetime.combine(self.until, dt.time(), dt.UTC)
        return (day + dt.timedelta(days=1)).timestamp()

    def speaks_for_account(self, account: Account) -> bool:
        """Whether its account's pattern matches."""
        return _matcher(self.account).fullmatch(str(account)) is not None

    def matches(self, account: Account, scope: Scope, verb: str) -> bool:
        """Whether it is about such requests at all, whenever they are made and whatever is unusual about them."""
        return (
            verb in self.verbs
            and self.speaks_for_account(account)
            and any(_covers(pattern, scope) for pattern in self.secrets)
        )

    def expects(self, scope: Scope, verb: str, at: float, signals: Iterable[Signal]) -> bool:
        """Whether evidence of an account that it speaks for is expected. `at`: epoch seconds of the newest read."""
        ends_at = self.ends_at
        return (
            verb in self.verbs
            and (ends_at is None or at < ends_at)
            and all(signal in self.signals for signal in signals)
            and any(_covers(pattern, scope) for pattern in self.secrets)
        )


class Expected:
    """All entries, the file's before those that are built in."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = (*entries, *BUILT_IN)

    def of(self, account: Account) -> tuple[Entry, ...]:
        """The entries that speak for this account; looked up once for each account that lives."""
        return tuple(entry for entry in self.entries if entry.speaks_for_account(account))


def first_of(entries: Iterable[Entry], scope: Scope, verb: str, at: float, signals: Sequence[Signal]) -> str | None:
    """The reason of the first entry that expects this evidence; None: nobody said so."""
    return next((entry.reason for entry in entries if entry.expects(scope, verb, at, signals)), None)


# --- the control plane's own accounts -----------------------------------------------------------------------------------


def _controller(name: str, secrets: str, verbs: tuple[Verb, ...], reason: str) -> Entry:
    signals: tuple[Signal, ...] = (Signal.PODLESS, Signal.COLLECTION_READ)
    if secrets != "kube-system/*":
        signals = (*signals, Signal.CROSS_NAMESPACE)
    return Entry(f"kube-system/{name}", (secrets,), reason, verbs, signals=signals, built_in=True)


BUILT_IN: Final = (
    _controller(
        "generic-garbage-collector", "*", ("list", "watch"), "control plane: follows what owns what, metadata only"
    ),
    _controller(
        "resourcequota-controller", "*", ("list", "watch"), "control plane: counts objects for quotas, metadata only"
    ),
    _controller("namespace-controller", "*/*", ("list",), "control plane: empties a namespace that is being deleted"),
    _controller(
        "bootstrap-signer", "kube-system/*", ("list", "watch"), "control plane: bootstrap tokens for cluster-info"
    ),
    _controller("token-cleaner", "kube-system/*", ("list", "watch"), "control plane: removes expired bootstrap tokens"),
)
"""Controllers of kube-controller-manager that run as ServiceAccounts without pods (its --use-service-account-credentials): their
roles are made by kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go and namespace_policy.go.
Their `get` of a single Secret is left out on purpose: whoever asks for their token has no pod either, and would look the same."""


# --- the file ------------------------------------------------------------------------------------------------------------


class _Raw(Struct, frozen=True, forbid_unknown_fields=True):
    account: str
    secrets: tuple[str, ...]
    reason: str
    verbs: tuple[Verb, ...] = ("get", "list", "watch")
    until: dt.date | None = None
    signals: tuple[Signal, ...] = ()


def entries_of(text: str) -> tuple[Entry, ...]:
    """The entries of a YAML text `expected: [...]`. Raises BadExpected."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        raise BadExpected(f"no YAML{where}") from None
    except (RecursionError, ValueError):  # nested too deep, or a date that is none
        raise BadExpected("no YAML that can be read: nested too deep, or a date that is none") from None
    if not isinstance(document, dict) or list(document) != ["expected"] or not isinstance(document["expected"], list):
        raise BadExpected("a document with one list called `expected` is needed")
    items = document["expected"]
    if len(items) > ENTRIES_MAX:
        raise BadExpected(f"more than {ENTRIES_MAX} entries")
    return tuple(_entry(number, item) for number, item in enumerate(items, 1))


def _entry(number: int, item: Any) -> Entry:
    where = f"entry {number}"
    try:
        raw = msgspec.convert(item, _Raw)
    except msgspec.ValidationError as error:
        raise BadExpected(f"{where}: {error}") from None
    if raw.account.count("/") != 1 or not _is_pattern(raw.account):
        raise BadExpected(f"{where}: account {raw.account[:80]!r} is not namespace/name")
    if not raw.secrets or len(raw.secrets) > PATTERNS_MAX:
        raise BadExpected(f"{where}: secrets: between 1 and {PATTERNS_MAX} patterns are needed")
    for pattern in raw.secrets:
        if pattern != "*" and (pattern.count("/") != 1 or not _is_pattern(pattern)):
            raise BadExpected(f"{where}: secrets: {pattern[:80]!r} is neither namespace/name nor *")
    if not raw.reason.strip() or len(raw.reason) > REASON_CHARS_MAX or not raw.reason.isprintable():
        raise BadExpected(f"{where}: reason: one line of at most {REASON_CHARS_MAX} characters is needed")
    if not raw.verbs:
        raise BadExpected(f"{where}: verbs: at least one of get, list, watch")
    return Entry(raw.account, raw.secrets, raw.reason, raw.verbs, raw.until, raw.signals)


def _is_pattern(text: str) -> bool:
    return len(text) <= PATTERN_CHARS_MAX and re.fullmatch(r"[-a-z0-9.*]+/[-a-z0-9.*]+", text) is not None


@lru_cache(maxsize=4 * ENTRIES_MAX)
def _matcher(pattern: str) -> re.Pattern[str]:
    # Runs of stars are one star: each more would multiply the ways in which a long name can fail to match.
    return re.compile("[^/]*".join(map(re.escape, re.sub(r"\*+", "*", pattern).split("*"))))


def _covers(pattern: str, scope: Scope) -> bool:
    """Whether a pattern speaks for reads of this scope: what is asked for as a whole must be named as a whole."""
    if pattern == "*":
        return True
    namespace, _, name = pattern.partition("/")
    if scope.namespace is None:
        return False
    if scope.name is None:
        return name == "*" and _matcher(namespace).fullmatch(scope.namespace) is not None
    return _matcher(pattern).fullmatch(f"{scope.namespace}/{scope.name}") is not None
