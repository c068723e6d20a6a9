"""The harness as others get it: the built wheel in an environment of its own, the example project in it, and what hides what."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "policy-tests"
TIMEOUT_S = 300

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path, ok: bool = True) -> str:
    """What it printed."""
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON", "PROTECTOR"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=plain,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel. What the wheel depends on is taken from this suite's environment: no index is asked."""
    work = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work, cwd=ROOT)
    (wheel,) = work.glob("*.whl")
    venv.create(work / "env", symlinks=True)
    python = work / "env" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", wheel, cwd=work)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = work / "env" / "lib" / version / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert str(site) in run(python, "-c", "import actors, web; print(actors.__file__, web.__file__)", cwd=work)
    return python


def test_the_example_project_runs_from_the_wheel_beside_its_own_web_folder(python: Path, tmp_path: Path):
    """As its README says; its `web` is its own."""
    project = shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    assert "4 passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)


def test_the_first_policy_test_of_the_docs_is_red_and_says_why(python: Path, tmp_path: Path):
    """The first Python block of docs/testing.md, word for word."""
    text = (ROOT / "docs" / "testing.md").read_text()
    (tmp_path / "test_policy.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path, ok=False)
    assert "1 failed" in said
    assert "app/db-creds is readable only by app/reader-sa" in said
    assert "also by app/debug-sa (get,list) by RoleBinding/app/debug" in said


def test_an_actors_folder_of_ones_own_is_named_in_one_line(python: Path, tmp_path: Path):
    """Tests that use nothing of ours go on; those that do fail with who hides what."""
    (tmp_path / "actors").mkdir()
    (tmp_path / "actors" / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "test_both.py").write_text(
        "import actors\n\n\ndef test_mine():\n    assert actors.MINE\n\n\ndef test_ours(protector):\n    pass\n"
    )
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path, ok=False)
    assert "1 passed, 1 error" in said
    assert f"{tmp_path / 'actors'} hides kube-protector's package `actors`" in said
    assert "Traceback" not in said


def test_a_suite_that_does_not_use_the_plugin_imports_nothing_of_it(python: Path, tmp_path: Path):
    """Neither `actors` nor Trio: the plugin's own file is all that is loaded."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n"
        "    assert 'kube_protector_pytest' in sys.modules\n"
        "    assert not {'actors', 'web', 'pykka', 'msgspec', 'yaml'} & set(sys.modules)\n"
    )
    assert "1 passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", cwd=tmp_path)


RACE = """
import trio
from actors.testing import schedules


@schedules(50)
async def test_race(clock):
    order = []

    async def turn(name):
        order.append(name)
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn, "first")
        nursery.start_soon(turn, "second")
    assert order == ["second", "first"]
"""


def test_a_race_is_told_with_the_command_that_replays_it(python: Path, tmp_path: Path):
    """The seed, the deviation, and a command that fails again at once."""
    (tmp_path / "test_race.py").write_text(RACE)
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path, ok=False)
    found = re.search(r'replay: pytest "(test_race.py::test_race)" (--protector-seed=\d+)', said)
    assert found is not None, said
    assert re.search(r"minimal deviation: (none|1 of \d+)", said), said
    again = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", found[1], found[2], cwd=tmp_path, ok=False)
    assert "1 failed" in again
    assert found[2] in again
