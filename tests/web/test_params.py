"""Query parameters: whatever is sent becomes a question or one exception that names the parameter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine.queries import LIMIT_MAX, ChainsQuery, EvidenceQuery
from web.params import SHOWN_MAX, BadParameter, chains_query, evidence_query, no_parameters, pairs_of


@given(
    query=st.binary(max_size=300)
    | st.from_regex(rb"(secret|limit|live|signal|cursor|namespace)=[ -~]{0,40}", fullmatch=True)
)
@settings(derandomize=True, deadline=None)
def test_any_query_is_a_question_or_refused(query):
    """No bytes raise anything but BadParameter, and its text is short and printable; a question's fields are in bounds."""
    for parse in (chains_query, evidence_query):
        try:
            found = parse(pairs_of(query))
        except BadParameter as error:
            text = str(error)
        else:
            text = ""
            assert 1 <= found.limit <= LIMIT_MAX
            assert found.secret is None or all(found.secret)
        assert text.isprintable()
        assert len(text) < 4 * SHOWN_MAX + 300


def test_live_is_corroborated_of_a_chain():
    """A chain is lit by live evidence alone: the two words may both be given, unless they contradict each other."""
    assert chains_query([("live", "true"), ("corroborated", "true")]) == ChainsQuery(corroborated=True)
    with pytest.raises(BadParameter, match="contradict"):
        chains_query([("live", "true"), ("corroborated", "false")])


def test_plus_and_percent():
    """Values are decoded as forms write them."""
    assert evidence_query(pairs_of(b"secret=a%2Fb")) == EvidenceQuery(secret=("a", "b"))
    with pytest.raises(BadParameter, match="namespace"):
        evidence_query(pairs_of(b"namespace=a+b"))


def test_no_parameters():
    """Where none is taken, any is refused."""
    no_parameters([])
    with pytest.raises(BadParameter, match="it takes none"):
        no_parameters([("x", "1")])
