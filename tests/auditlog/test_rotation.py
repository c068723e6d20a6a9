"""Every line of the audit log counts once: a writer that is a process of its own, rotation in every way, kill -9 in between.

`PROTECTOR_TEST_SEEDS=50` does a thousand kills instead of twenty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from log_writer import WAYS

HERE = Path(__file__).parent
KILLS = 5
"""Of one writer; there is one for each way."""
LINES = 1_500
REPEATS = int(os.environ.get("PROTECTOR_TEST_SEEDS", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(REPEATS))
def test_every_line_counts_once(tmp_path: Path, way: str, seed: int) -> None:
    """The history has each Secret's read once, whenever the follower was killed."""
    log, database = tmp_path / "audit.log", tmp_path / "protector.db"
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{Path.cwd()}"}
    writer = subprocess.Popen(
        [sys.executable, str(HERE / "log_writer.py"), str(log), way, str(LINES), str(seed)], env=environment
    )
    follower = subprocess.run(
        [sys.executable, str(HERE / "killed_follower.py"), str(log), str(database), str(LINES), str(KILLS), str(seed)],
        env=environment,
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert writer.wait(60) == 0
    assert follower.returncode == 0, follower.stderr.decode()[-2_000:]
    found = json.loads(follower.stdout.splitlines()[-1])
    wanted = {f"s{number}": 1 for number in range(LINES)}
    missing, more = wanted.keys() - found.keys(), {name: count for name, count in found.items() if count != 1}
    assert (sorted(missing), more) == ([], {}), f"{way}, seed {seed}"
