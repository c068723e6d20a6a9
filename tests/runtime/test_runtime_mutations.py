"""Would the tests notice? The runtime is broken on purpose in one way at a time, and a part of its own tests has to go red each time.

The ways are in mutants.py, a plugin for a pytest of its own: each run is another process, so nothing that is broken there is broken
here. Without a mutant the same tests pass under the same plugin. Which tests caught it is said at the end of the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PATIENCE_S = 120.0
"""A run takes a few seconds; one that hangs is a failure of this test, not a catch."""

SEEDS = "6"
"""Of the races: a few are enough here."""

CHOSEN = ("test_runtime_otp.py", "test_runtime_races.py")


def outcome_under(mutant: str) -> tuple[int, list[str], int, int]:
    """Run the chosen tests under a mutant: pytest's exit code, those that failed, how many ran, how often the runtime was broken."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "mutants", "-p", "no:cacheprovider", "--no-header", "-q", "-rf"),
            *("--tb=no", "--show-capture=no", "-k", "not count_children", *(str(HERE / module) for module in CHOSEN)),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PROTECTOR_TEST_MUTANT": mutant,
            "PROTECTOR_TEST_SEEDS": SEEDS,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE), str(HERE.parent)]),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stdout
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", said.splitlines()[-1])}
    broken = re.search(r"broken (\d+) times", said)
    assert broken, said + done.stderr
    assert "error" not in counts, said
    return done.returncode, re.findall(r"^FAILED \S*?::(\S+)", said, re.MULTILINE), sum(counts.values()), int(broken[1])


def test_the_chosen_tests_pass_on_the_runtime_as_it_is(say) -> None:
    """Under the same plugin, with nothing broken."""
    code, failed, ran, broken = outcome_under("none")
    say(f"{ran} tests, none fails")
    assert (code, failed, broken) == (0, [], 0)
    assert ran > 30


@pytest.mark.parametrize(
    ("mutant", "said", "caught_by_min"),
    [
        ("drop-message", "one message in fifty is dropped", 3),
        ("skip-restart", "in each test one restart is skipped", 10),
        ("stop-out-of-order", "in each test one stop is out of order", 5),
    ],
    ids=["drop-message", "skip-restart", "stop-out-of-order"],
)
def test_they_go_red(say, mutant: str, said: str, caught_by_min: int) -> None:
    """Broken in this way, the suite fails, and by more than a lucky one of them."""
    code, failed, ran, broken = outcome_under(mutant)
    say(f"{said}: {broken} times, caught by {len(failed)} of {ran} tests: {', '.join(failed)}")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert broken > 0
    assert len(failed) >= caught_by_min
