"""How the plugin runs tests: by itself, in another plugin's Trio run, and on a clock that it cannot move."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import actors.testing
from actors.testing.session import Session, WrongClock
from actors.testing.worlds import open_protector


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Trio, on virtual time."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.mark.anyio
async def test_the_fixtures_live_in_anyios_run(protector, cluster, audit, clock):
    """The world opens in a run that is not the plugin's."""
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get db-creds").bind("app/reader")
    await protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    await protector.chain("app/web", "app/db-creds").is_lit()
    await clock.advance("5m")
    await protector.chain("app/web", "app/db-creds").is_dark()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_real_clock_is_named_in_one_line(protector, anyio_backend):
    """With what to do about it."""
    with pytest.raises(WrongClock, match=r"real clock.*autojump_clock.*MockClock\(autojump_threshold=0\)"):
        await protector.settle()


def test_a_world_in_ones_own_trio_run():
    """`async with open_protector()`."""

    async def main() -> None:
        async with open_protector() as world:
            world.cluster.deployment("app/web", account="a", mounts="tls")
            await world.protector.chain("app/web", "app/tls").is_mounted()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_time_stands_still_between_calls(protector, clock):
    """A test may look at it as often as it likes."""
    protector.settle()
    before = clock.now()
    for _ in range(50):
        protector.settle()
    assert before == clock.now()
    clock.advance("1ms")
    assert before + 0.001 == pytest.approx(clock.now(), abs=1e-6)
    clock.run_until(lambda: clock.now() >= before + 7.0)
    with pytest.raises(AssertionError, match=r"did not come true within 60 s of virtual time"):
        clock.run_until(lambda: False, within="1m")


@pytest.mark.protector(seed=7, ttl_s=60)
def test_the_marker_sets_seed_and_ttl(protector_session: Session):
    """And nothing else may stand in it."""
    assert (protector_session.seed, protector_session.ttl_s) == (7, 60)


def test_the_public_names_are_sorted_and_there():
    """`__all__` is what docs/testing.md calls stable."""
    assert sorted(actors.testing.__all__) == actors.testing.__all__
    for name in actors.testing.__all__:
        assert getattr(actors.testing, name) is not None
    with pytest.raises(AttributeError):
        _ = actors.testing.nothing  # type: ignore[attr-defined]


def test_the_plugin_costs_nothing_where_it_is_not_used():
    """Its own import, after pytest's, in a fresh process: well under 5 ms of CPU, the best of five."""
    code = (
        "import pytest, sys, time\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "before = time.process_time()\n"
        "import plugin\n"
        "print(1000 * (time.process_time() - before))\n"
        "assert not {'actors', 'trio', 'msgspec'} & set(sys.modules)\n"
    )
    folder = Path(actors.testing.__file__).parent
    began = time.monotonic()
    took = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60, check=True
        )
        took.append(float(done.stdout))
    assert min(took) < 5.0, (took, time.monotonic() - began)
