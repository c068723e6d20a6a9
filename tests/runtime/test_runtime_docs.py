"""docs/runtime.md shows the examples as they are, with the output that they give, and the bounds that the code has."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import signal
from pathlib import Path
from types import ModuleType

import pytest
import structlog
import trio
from trio.testing import MockClock
from trio_run import run

import actors.runtime as runtime
from actors.runtime import Child, open_system

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/runtime.md"
EXAMPLES = sorted((ROOT / "docs/examples/runtime").glob("*.py"))
SERVERS = ("dashboard", "until_signal")
"""They run until they are stopped, each tested by a test of its own."""
REAL_TIME = ("from_pykka", "threads")
"""Threads know nothing of a virtual clock."""
ITSELF = ("deterministic",)
"""It brings its own clock and its own runs."""


def body(path: Path) -> str:
    """The example without its docstring, the import that every file has, and the two lines that start it."""
    text = path.read_text().partition("from __future__ import annotations\n")[2]
    return (text if path.stem in ITSELF else text.partition('\n\nif __name__ == "__main__":')[0]).strip("\n")


def loaded(name: str, called: str = "example") -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(called, ROOT / f"docs/examples/runtime/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(name: str) -> str:
    """What the example prints, the log apart."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            module = loaded(name, "__main__" if name in ITSELF else "example")
            if name not in ITSELF:
                trio.run(module.main, clock=None if name in REAL_TIME else MockClock(autojump_threshold=0))
        return out.getvalue()
    finally:
        structlog.configure(**before)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_page_shows_each_example_as_it_is(path):
    """Its code word for word, under a link to the file."""
    shown = f"[`{path.name}`](examples/runtime/{path.name})\n\n```python\n{body(path)}\n```"
    assert shown in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES if path.stem not in SERVERS])
def test_each_example_prints_what_the_page_says(name):
    """Run in this process, on a virtual clock where it does not use threads."""
    code = body(ROOT / f"docs/examples/runtime/{name}.py")
    expected = PAGE.read_text().partition(f"{code}\n```\n\n```text\n")[2].partition("\n```")[0]
    assert expected == said(name).rstrip()


def test_the_dashboard_example_serves_its_own_pages_and_ours():
    """The application's own route, the tree, an actor's page, and the API."""
    example = loaded("dashboard")

    async def main() -> list[int]:
        async with open_system("shop") as system:
            await system.start(Child("greeter", example.Greeter))
            client = example.make_app(system).test_client()
            paths = ("/hello/Ada", "/actors", "/actors/shop/greeter", "/api/actors")
            return [(await client.get(path)).status_code for path in paths]

    assert run(main, real_time=True) == [200, 200, 200, 200]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_signal_example_ends_in_good_order(number, capsys):
    """It says which signal it was, and stops its actor."""
    example = loaded("until_signal")

    async def main() -> None:
        before = signal.getsignal(number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(example.main)
            with trio.fail_after(20):
                while signal.getsignal(number) is before:
                    await trio.lowlevel.checkpoint()
            os.kill(os.getpid(), number)

    run(main, real_time=True)
    assert capsys.readouterr().out == f"open\ntold to stop by {number.name}\nclosed\n"


def test_every_bound_on_the_page_is_the_code_s():
    """Each row `NAME` (`module`) has the module's value."""
    rows = re.findall(r"^\| `([A-Z_]+)` \(`([\w.]+)`\) \| ([\d,.]+)", PAGE.read_text(), re.MULTILINE)
    assert len(rows) >= 15
    for name, module, value in rows:
        found = getattr(importlib.import_module(f"actors.runtime.{module}"), name)
        assert float(value.replace(",", "")) == found, name


def test_every_public_name_is_described():
    """All that `actors.runtime` exports stands on the page, in code."""
    code = " ".join(re.findall(r"```python\n(.*?)```|`([^`\n]+)`", PAGE.read_text(), re.DOTALL).__str__().split())
    assert [name for name in runtime.__all__ if not re.search(rf"\b{name}\b", code)] == []
