"""What the plugin says in one line where a suite and the harness are in one another's way: each in a pytest of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 200
LOADED = () if importlib.util.find_spec("kube_protector_pytest") else ("-p", "actors.testing.plugin")

pytestmark = pytest.mark.slow


def outcome_of(folder: Path, suite: str, *, path: str) -> tuple[int, str]:
    """Exit code and words of a suite in that folder; `path`: what comes first where modules are looked for."""
    (folder / "test_suite.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    command = (sys.executable, "-P", "-m", "pytest", *LOADED, "-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    done = subprocess.run(
        command,
        cwd=folder,
        env=env | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_web_folder_that_ours_hides_is_named_in_one_line(tmp_path):
    """The import finds our package: the last lines say so, and what to do."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web/__init__.py").write_text("GREETING = 'hello'\n")
    code, text = outcome_of(tmp_path, "from web import GREETING\n", path=str(ROOT))
    assert code == 2, text
    (line,) = [line for line in text.splitlines() if "pythonpath" in line]
    assert line.startswith(f"{tmp_path / 'web'} is hidden by kube-protector's package web ({ROOT / 'web'})")


def test_a_failure_with_nothing_hidden_says_nothing_of_it(tmp_path):
    """A folder `web` without Python in it, and a test that fails for its own reasons."""
    (tmp_path / "web").mkdir()
    code, text = outcome_of(tmp_path, "import web\n\n\ndef test_it():\n    assert not web\n", path=str(ROOT))
    assert code == 1, text
    assert "is hidden" not in text


def test_a_fixture_that_schedules_cannot_make_again_is_named(tmp_path):
    """A fixture of the suite's over `cluster` would fill the world of no run: one line instead of a failure that nobody understands."""
    suite = (
        "import pytest\nfrom actors.testing import schedules\n\n\n@pytest.fixture\ndef shop(cluster):\n    return cluster\n\n\n"
        "@schedules(2)\ndef test_it(protector, shop): ...\n"
    )
    code, text = outcome_of(tmp_path, suite, path=str(ROOT))
    assert code == 1, text
    assert "@schedules makes cluster new for each run, and the fixture 'shop' is made once" in text
