"""The pytest plugin: fixtures, and how tests are run that use them. Loaded by its entry point in every suite where kube-protector is
installed, so it imports nothing but what pytest has imported already; the rest comes when a fixture is asked for.

It may be loaded under a name of its own (`kube_protector_pytest`), for a suite may have an `actors/` folder that hides ours: then
only the fixtures fail, each with one line that says what hides what.
Counterparts: session.py, protector.py, probes.py. The fixtures are described in docs/testing.md.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = frozenset(
    {"protector", "clock", "probe", "audit", "cluster", "dead_letters", "faults", "system", "protector_session"}
)
"""An async test that uses one of these and that no other plugin runs is run here."""
OTHERS = ("trio", "anyio", "asyncio")
"""Markers by which another plugin says that it runs the test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seed of everything that is by chance, and of `@schedules`."""
    group = parser.getgroup("protector")
    group.addoption(
        "--protector-seed", type=int, default=None, help="replay protector's world and schedules from this seed"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The markers."""
    config.addinivalue_line("markers", "protector(seed=1, ttl_s=300): the world of protector's fixtures in this test")
    config.addinivalue_line(
        "markers", "protector_schedules(n): run under n seeded interleavings; written as @schedules(n)"
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """After failures, one line for each folder of the suite's that a package of ours hides."""
    if not terminalreporter.stats.keys() & {"failed", "error"}:
        return
    import sys  # noqa: PLC0415 - only where something failed
    from pathlib import Path  # noqa: PLC0415 - as above

    for name in ("actors", "web"):
        theirs = config.rootpath / name
        ours_at = [Path(path) for path in getattr(sys.modules.get(name), "__path__", ())]
        if (
            theirs not in ours_at
            and any((path.parent / "actors/testing/plugin.py").is_file() for path in ours_at)
            and any(theirs.glob("*.py"))
        ):
            terminalreporter.write_line(
                f"{theirs} is hidden by kube-protector's package {name} ({ours_at[0]}): put the folder above yours first on the path, "
                'as pythonpath = ["."] in the settings of pytest does'
            )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs async tests that use our fixtures and belong to nobody else, on Trio and virtual time; and tests under `@schedules`."""
    if not FIXTURES & set(pyfuncitem.fixturenames):
        return None
    scheduled = pyfuncitem.get_closest_marker("protector_schedules") is not None
    if not scheduled and not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    if any(pyfuncitem.get_closest_marker(name) for name in OTHERS):
        if scheduled:
            raise pytest.UsageError("@schedules runs a test itself: take away the marker of the other plugin")
        return None
    names = pyfuncitem._fixtureinfo.argnames
    if scheduled:
        from actors.testing.hosting import run_schedules  # noqa: PLC0415 - see the module

        run_schedules(pyfuncitem, names)
    else:
        session: Any = pyfuncitem.funcargs["protector_session"]
        session.run(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    return True


def hidden_by() -> str | None:
    """In one line, who hides our package `actors`; None where nobody does."""
    try:
        import actors.testing.session  # noqa: F401, PLC0415 - the point of this plugin
    except ModuleNotFoundError as error:
        found = sys.modules.get("actors")
        where = next(iter(getattr(found, "__path__", ())), getattr(found, "__file__", None))
        if where is None or os.path.exists(os.path.join(where, "testing", "plugin.py")):  # noqa: PTH110, PTH118 - pathlib would be an import
            return f"kube-protector cannot be imported: {error}"
        return (
            f"{where} hides kube-protector's package `actors`, which its fixtures need: rename that folder, or run the tests that use "
            "them from a folder in which it cannot be imported"
        )
    return None


@pytest.fixture
def protector_session(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The world behind the other fixtures; no stable interface."""
    __tracebackhide__ = True
    if (why := hidden_by()) is not None:
        pytest.fail(why, pytrace=False)
    from actors.testing.hosting import hosted  # noqa: PLC0415 - see the module

    with hosted(request) as session:
        yield session


def _made(name: str, session: Any) -> Any:
    from actors.testing.hosting import FIXTURES as MADE  # noqa: PLC0415 - see the module

    return MADE[name](session)


@pytest.fixture
def protector(protector_session: Any) -> Any:
    """The product: `protector.post(...)`, `protector.chain(...)`, `protector.access(...)`."""
    return _made("protector", protector_session)


@pytest.fixture
def system(protector_session: Any) -> Any:
    """A system of your own actors, without the product's; with `protector` too, they live in the product's system."""
    return _made("system", protector_session)


@pytest.fixture
def clock(protector_session: Any) -> Any:
    """Virtual time: `clock.advance("5m")`."""
    return _made("clock", protector_session)


@pytest.fixture
def cluster(protector_session: Any) -> Any:
    """What exists: `cluster.deployment("app/web", account="reader-sa")`."""
    return _made("cluster", protector_session)


@pytest.fixture
def audit(protector_session: Any) -> Any:
    """Requests in sentences: `audit.get("app/db-creds").by("app/reader-sa")`."""
    return _made("audit", protector_session)


@pytest.fixture
def probe(protector_session: Any) -> Any:
    """An actor that writes down what it hears."""
    return _made("probe", protector_session)


@pytest.fixture
def faults(protector_session: Any) -> Any:
    """What goes wrong: `faults.crash("store", on=2)`."""
    return _made("faults", protector_session)


@pytest.fixture
def dead_letters(protector_session: Any) -> Any:
    """Messages that were lost on their way: iterable, counted by reason."""
    return _made("dead_letters", protector_session)
