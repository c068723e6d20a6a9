"""docs/examples/policy-tests against the built wheel, in an environment of its own.

The environment is new and has the wheel installed by pip. What the wheel depends on comes from this one's packages, by a path file: the
tests need no package index. The editable install of this project is not seen there (path files on such a path are not read).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "docs/examples/policy-tests"
LIMIT_S = 240

pytestmark = pytest.mark.slow


def said(*command: str | Path, cwd: Path) -> tuple[int, str]:
    """Its exit code and all that it said, with nothing of this process's Python or pytest settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the built wheel in it."""
    folder = tmp_path_factory.mktemp("wheel")
    code, text = said(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert code == 0, text
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env/bin/python"
    (wheel,) = folder.glob("*.whl")
    code, text = said(
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        python,
        "install",
        "--no-index",
        "--no-deps",
        wheel,
        cwd=folder,
    )
    assert code == 0, text
    (site,) = (folder / "env/lib").glob("*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    code, text = said(
        python, "-c", "import actors, kube_protector_pytest as p; print(actors.__file__, p.__file__)", cwd=folder
    )
    assert all(Path(path).is_relative_to(site) for path in text.split()), text
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example, to be run and to be changed."""
    return Path(shutil.copytree(PROJECT, tmp_path / "team", ignore=shutil.ignore_patterns("__pycache__", ".*")))


def outcome_of(
    python: Path, project: Path, *, current_folder_first: bool = False, more: tuple[str, ...] = ()
) -> tuple[int, str]:
    """`python -m pytest` where the current folder comes first, else as the command `pytest` does."""
    how = ("-m", "pytest") if current_folder_first else ("-P", "-m", "pytest")
    return said(python, *how, "-q", "-p", "no:cacheprovider", *more, cwd=project)


@pytest.mark.parametrize("current_folder_first", [False, True])
def test_the_example_passes_with_its_own_web_folder(python, project, current_folder_first):
    """Six tests of a team, its `web` and ours side by side, however pytest was started."""
    code, text = outcome_of(python, project, current_folder_first=current_folder_first)
    assert code == 0, text
    assert "6 passed" in text


def test_a_role_that_lets_more_in_turns_the_policy_red_and_is_named(python, project):
    """What a team sees when a pull request widens the Role: who may what, and by which binding."""
    manifest = project / "manifests/shop.yaml"
    manifest.write_text(manifest.read_text().replace("resourceNames: [web-config], ", ""))
    code, text = outcome_of(python, project, more=("-k", "nothing_else"))
    assert code == 1, text
    assert "expected: app/reader-sa may read only app/web-config" in text
    assert "RoleBinding/app/web-reads" in text


def test_a_web_folder_that_ours_hides_is_named_in_one_line(python, project):
    """Without the path setting the import finds our package: the last lines say so, and what to do."""
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text().replace('pythonpath = ["."]', ""))
    code, text = outcome_of(python, project)
    assert code == 2, text
    (line,) = [line for line in text.splitlines() if "pythonpath" in line]
    assert str(project / "web") in line
    assert "is hidden by kube-protector's" in line


def test_an_actors_folder_that_hides_ours_is_named_in_one_line(python, project):
    """Then only the tests that use the fixtures fail, each with what hides what."""
    (project / "actors").mkdir()
    (project / "actors/__init__.py").touch()
    (project / "policies/test_secrets.py").write_text("def test_it(protector): ...\n\n\ndef test_other(): ...\n")
    code, text = outcome_of(python, project)
    assert code == 1, text
    assert "1 passed, 1 error" in text
    assert f"{project / 'actors'} hides it" in text


def test_a_suite_that_uses_none_of_it_imports_none_of_it(python, tmp_path):
    """No package of ours and no Trio is loaded by the plugin being there."""
    (tmp_path / "test_mine.py").write_text(
        'import sys\n\n\ndef test_mine():\n    assert not {"actors", "web", "trio", "msgspec"} & set(sys.modules)\n'
    )
    code, text = outcome_of(python, tmp_path, more=("-p", "no:hypothesispytest", "-p", "no:anyio"))
    assert code == 0, text
