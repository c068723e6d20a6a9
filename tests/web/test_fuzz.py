"""A moment of the fuzzer: mutated requests to a whole server, after which nothing of them is left. Longer: `scripts/fuzz`."""

from __future__ import annotations

import json
import os
import random
import sys

import pytest
from fuzz.campaign import run_campaign
from fuzz.cases import KINDS, make_case
from fuzz.mutations import mutated, mutated_json
from trio_run import run

SEED = int(os.environ.get("FUZZ_SEED", "") or 20_250_917)
"""Always the same in the suite, which says the same of the same code; `scripts/fuzz` draws new ones."""
CASES = int(os.environ.get("FUZZ_CASES", "") or 500)
MEMORY_KIB = 24 * 1024
"""How much this process may have grown over a short campaign: pools that fill, not requests that stay."""


@pytest.mark.slow
def test_mutated_requests_leave_nothing_behind() -> None:
    """Each ends itself at most; normal batches are answered meanwhile and after; no task, file, object or memory stays."""
    sys.stdout.write(f"seed {SEED}\n")
    report = run(run_campaign, SEED, lambda number: number < CASES, real_time=True)
    assert report.count == CASES
    assert set(report.cases) == set(KINDS)
    assert report.statuses[200] > 0
    assert report.statuses[400] > 0
    assert report.rss_kib < MEMORY_KIB


def test_a_case_is_made_from_its_number_alone() -> None:
    """So that one can be made again; of another seed it is another one. (What TLS says first is drawn by OpenSSL.)"""
    cases = [make_case(7, number) for number in range(200)]
    again = [make_case(7, number) for number in range(200)]
    assert [case for case in cases if case.kind != "tls"] == [case for case in again if case.kind != "tls"]
    assert cases[0] != make_case(8, 0)


def test_mutations_change_something_and_stay_bounded() -> None:
    """Nearly always another text, never a huge one; changed documents are mostly JSON still."""
    chance = random.Random(3)
    text = b"POST /audit HTTP/1.1\r\nHost: x\r\n\r\n"
    found = [mutated(chance, text) for _ in range(300)]
    assert sum(one != text for one in found) > 280
    assert max(map(len, found)) < 40_000
    documents = [mutated_json(chance, {"items": [{"a": 1, "b": [1, 2]}]}) for _ in range(100)]
    assert any(json.loads(one) != {"items": [{"a": 1, "b": [1, 2]}]} for one in documents)
