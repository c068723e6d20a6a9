"""A harness that cannot fail proves nothing: the product is broken on purpose, and its own suite must say so, and say what."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness_suite import MUTATIONS, SUITE, Mutation, failures


def test_the_product_as_it_is_passes_the_suite():
    """Every check, and none of them is left out of the run."""
    assert failures(None) == []
    assert len(SUITE) == 7


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "_"))
def test_a_broken_product_fails_with_a_message_that_names_what_broke(mutation: Mutation):
    """At least one check fails; one of the messages has the words that tell what is the matter."""
    found = failures(mutation)
    assert found, f"nothing noticed that {mutation.name}"
    assert any(mutation.names_it in text for _, text in found), found


def test_the_page_about_testing_lists_every_mutation():
    """docs/testing.md has a row for each, with the checks that catch it (`python tests/testing/harness_suite.py` prints them)."""
    text = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    told = {row[0].removeprefix("| ") for row in rows if len(row) == 3}
    assert {mutation.name for mutation in MUTATIONS} <= told
    assert {check.__name__ for check in SUITE} <= {row[1].strip("`") for row in rows if len(row) == 3}
