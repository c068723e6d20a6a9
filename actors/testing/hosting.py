"""How the plugin makes a session for one test, what each fixture is made of, and how `@schedules` runs a test again and again.

Counterpart: plugin.py, which holds the fixtures themselves and imports this when one is asked for.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

import pytest

from actors.testing.bridge import Explained
from actors.testing.interleavings import Failed, current_schedule, said, search
from actors.testing.letters import Letters
from actors.testing.probes import Actors, Probe
from actors.testing.protector import Clock, Protector
from actors.testing.sentences import Audit
from actors.testing.session import TTL_S, Session

__all__ = ["FIXTURES", "hosted", "run_schedules"]

FIXTURES: Final[dict[str, Any]] = {
    "protector_session": lambda session: session,
    "protector": Protector,
    "system": Actors,
    "clock": Clock,
    "cluster": lambda session: session.cluster,
    "audit": lambda _session: Audit(),
    "probe": Probe,
    "faults": lambda session: session.faults,
    "dead_letters": Letters,
}
"""Name of a fixture -> what makes it of a session."""


def new_session(request: pytest.FixtureRequest | Any, names: Any) -> Session:
    """A session as the test's marker and the command line have it."""
    marker = request.node.get_closest_marker("protector")
    words: dict[str, Any] = dict(marker.kwargs) if marker is not None else {}
    if unknown := set(words) - {"seed", "ttl_s"}:
        raise pytest.UsageError(f"pytest.mark.protector knows seed and ttl_s, not {', '.join(sorted(unknown))}")
    seed = request.config.getoption("--protector-seed", None)
    schedule = current_schedule()
    if schedule is not None:
        seed = schedule.seed
    session = Session(seed if seed is not None else words.get("seed", 1), ttl_s=words.get("ttl_s", TTL_S))
    session.bare = "system" in names and "protector" not in names
    if schedule is not None:
        session.instruments = (schedule,)
    return session


@contextlib.contextmanager
def hosted(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The session of the test that asks."""
    session = new_session(request, request.fixturenames)
    if not inspect.iscoroutinefunction(request.function):
        session.begin()
    try:
        yield session
    finally:
        session.end()


class _Item:
    """As much of a fixture request as `new_session` needs."""

    def __init__(self, item: pytest.Function) -> None:
        self.node, self.config = item, item.config


def run_schedules(item: pytest.Function, names: tuple[str, ...]) -> None:
    """Run the test under its seeds: protector's fixtures are new in each run, those of others are made once and shared.

    UsageError where one of those is made of protector's: it would speak of a world that this run does not have.
    """
    __tracebackhide__ = True
    marker = item.get_closest_marker("protector_schedules")
    assert marker is not None  # noqa: S101 - the caller has looked
    for name in names:
        if name not in FIXTURES and (mine := _ours_below(item, name)):
            raise pytest.UsageError(
                f"@schedules makes {', '.join(sorted(mine))} new for each run, and the fixture {name!r} is made once, of the first: "
                f"do in the test what {name!r} does with it"
            )
    count = marker.args[0]
    one = item.config.getoption("--protector-seed", None)
    seeds = range(count) if one is None else (one,)
    unused: Any = item.funcargs["protector_session"]
    unused.end()

    def run() -> None:
        session = new_session(_Item(item), item.fixturenames)
        words = {name: FIXTURES[name](session) if name in FIXTURES else item.funcargs[name] for name in names}
        if inspect.iscoroutinefunction(item.obj):
            session.run(item.obj, **words)
            return
        session.begin()
        try:
            item.obj(**words)
        finally:
            session.end()

    failed = search(run, seeds)
    if failed is not None:
        raise _told(failed, f'pytest "{item.nodeid}" --protector-seed={failed.seed}', count)


def _ours_below(item: pytest.Function, name: str) -> set[str]:
    """Which of protector's fixtures a fixture of the suite's is made of, itself or by others."""
    known = item._fixtureinfo.name2fixturedefs
    found, ahead = set[str](), [name]
    seen = {name}
    while ahead:
        for below in {each for made in known.get(ahead.pop(), ()) for each in made.argnames} - seen:
            seen.add(below)
            (found.add if below in FIXTURES else ahead.append)(below)
    return found


def _told(failed: Failed, replay: str, count: int) -> BaseException:
    error = failed.error
    text = said(failed, replay, count)
    if isinstance(error, Explained):
        return type(error)(f"{error}\n\n{text}")
    error.add_note(text)
    return error
