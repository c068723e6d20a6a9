"""What the log says of an API server that does not answer: one line for all kinds, and one at the end."""

from __future__ import annotations

import pytest
import trio
from kube_objects import pod
from live_kit import LiveCluster, watch_all

from actors.cluster.live.outage import GATHER_S, OutageLine, Outages
from actors.testing.kube import FakeKube

WHY = "the API server does not answer"


def test_an_outage_is_said_once_with_its_kinds_and_once_at_its_end() -> None:
    """The kinds that fail within a moment are gathered; the same ones again say nothing more."""
    outages = Outages()
    assert [outages.failing(kind, WHY, at) for at, kind in enumerate(("Pod", "Role"))] == [None, None]
    assert outages.failing("Service", WHY, GATHER_S) == OutageLine(WHY, ("Pod", "Role", "Service"))
    assert [outages.failing("Pod", WHY, at) for at in (10, 100, 1000)] == [None, None, None]
    assert [outages.working(kind, 1100) for kind in ("Role", "Pod", "Pod")] == [None, None, None]
    assert outages.working("Service", 1200) == OutageLine(
        "the API server answers again", ("Pod", "Role", "Service"), 1200.0
    )


def test_a_blip_is_no_line() -> None:
    """What is over before the kinds were gathered."""
    outages = Outages()
    assert (outages.failing("Pod", WHY, 0), outages.working("Pod", 2), outages.failing("Pod", WHY, 10)) == (None,) * 3
    assert outages.failing("Pod", WHY, 10 + GATHER_S) is not None


def test_kinds_that_fail_later_are_named_at_the_end() -> None:
    """An outage is one line, also where a kind that is asked for once a minute joins it."""
    outages = Outages()
    outages.failing("Pod", WHY, 0)
    assert outages.failing("Pod", WHY, 5) == OutageLine(WHY, ("Pod",))
    assert outages.failing("Role", WHY, 100) is None
    assert outages.working("Pod", 110) is None
    ended = outages.working("Role", 120)
    assert ended is not None
    assert (ended.kinds, ended.lasted_s) == (("Pod", "Role"), 120.0)


def test_a_server_that_comes_and_goes_is_said_once_a_minute() -> None:
    """However often it does."""
    outages = Outages()
    lines = []
    for second in range(0, 600, 10):
        lines += [outages.failing("Pod", WHY, at) for at in (second, second + 4)]
        lines.append(outages.working("Pod", second + 5))
    assert 2 <= len([line for line in lines if line is not None]) <= 20


def test_the_log_of_a_cluster_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    """All kinds fail, and one line is written; one more when the last of them is back."""
    kube = FakeKube()
    kube.put(pod("web-1"))

    async def story(live: LiveCluster) -> None:
        await live.until(lambda s: all(kind.state in ("watching", "absent") for kind in s.objects.values()))
        capsys.readouterr()
        live.kube.down()
        await live.until(lambda s: s.objects["Pod"].age_s > 300)
        said = capsys.readouterr()
        (line,) = [line for line in (said.out + said.err).splitlines() if "[warning" in line]
        assert ("Pod" in line, "Role" in line, "kinds=" in line) == (True, True, True)
        async with trio.open_nursery() as nursery:
            await nursery.start(live.kube.serve)
            await live.until(lambda s: all(kind.state in ("watching", "absent") for kind in s.objects.values()))
            said = capsys.readouterr()
            assert (said.out + said.err).count("the API server answers again") == 1
            nursery.cancel_scope.cancel()

    watch_all(story, kube)
