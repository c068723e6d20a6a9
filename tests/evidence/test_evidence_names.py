"""Which names Kubernetes allows, and what scopes cover."""

from __future__ import annotations

import pytest

from actors.evidence import (
    Account,
    ObservationKey,
    PodClaim,
    Read,
    Scope,
    is_namespace_name,
    is_object_name,
    observation_key,
)
from actors.evidence.times import parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("text", "is_namespace", "is_object"),
    [
        # plain
        ("app", True, True),
        ("a", True, True),
        ("7", True, True),
        ("kube-system", True, True),
        # dots make a subdomain, not a label
        ("tls.example", False, True),
        ("a..b", False, False),
        (".a", False, False),
        # what no name may hold
        ("", False, False),
        ("App", False, False),
        ("-a", False, False),
        ("a-", False, False),
        ("a_b", False, False),
        ("a/b", False, False),
        ("a\n", False, False),
        ("ä", False, False),
        # lengths
        ("n" * 63, True, True),
        ("n" * 64, False, True),
        ("n" * 253, False, True),
        ("n" * 254, False, False),
    ],
)
def test_names_are_those_that_kubernetes_allows(text: str, is_namespace: bool, is_object: bool) -> None:
    """RFC 1123 labels for namespaces, subdomains for objects."""
    assert (is_namespace, is_object) == (is_namespace_name(text), is_object_name(text))


@pytest.mark.parametrize(
    ("scope", "text", "covers"),
    [
        (Scope("app", "db"), "app/db", True),
        (Scope("app", None), "app/*", True),
        (Scope(None, None), "*", True),
        (Scope(None, "db"), "*/db", True),
        (Scope("other", None), "other/*", False),
        (Scope("app", "x"), "app/x", False),
    ],
)
def test_a_scope_is_shown_and_covers_what_it_says(scope: Scope, text: str, covers: bool) -> None:
    """None is every Secret there, or everywhere."""
    assert (text, covers) == (str(scope), scope.covers("app", "db"))


def test_reads_of_one_account_are_one_observation_by_verb_scope_and_pod() -> None:
    """Time, agent and stage make no difference; the pod does."""
    account, scope = Account("app", "sa"), Scope("app", "db")
    one = Read(account, scope, "get", 1.0, 1.0, claim=PodClaim("p", "u"), user_agent="a")
    two = Read(account, scope, "get", 2.0, 3.0, claim=PodClaim("p", "u"), user_agent="b")
    other = Read(account, scope, "get", 2.0, 3.0)
    expected = [ObservationKey("get", "app", "db", "p", "u", False)] * 2 + [
        ObservationKey("get", "app", "db", None, None, False)
    ]
    assert expected == [observation_key(read) for read in (one, two, other)]


def test_times_are_written_with_microseconds_and_read_with_any_offset() -> None:
    """The way there and back, and an offset that is not UTC."""
    text = "2026-11-24T23:26:03.483218Z"
    expected = (text, 1_795_562_763.483218)
    assert expected == (rfc3339(parse_rfc3339("2026-11-25T00:26:03.483218+01:00")), parse_rfc3339(text))


def test_a_time_without_offset_is_refused() -> None:
    """It could be any of a day's."""
    with pytest.raises(ValueError, match="no offset"):
        parse_rfc3339("2026-11-24T23:26:03")
