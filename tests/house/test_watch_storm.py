"""A rollout as a watch tells it while reads come in: no read is lost, and each ends up with its own pod."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
import trio
from pipeline_kit import House, play
from storm_kit import Rollout, body, stamp

from actors.cluster.raw import Snapshot

PODS = 400
EVERY = 20
"""Pods that are replaced between two batches."""


@pytest.fixture(autouse=True)
def quiet():
    """The pipeline's log is not what is looked at here."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


class Fleet:
    """The cluster file's stand-in: what is there before the rollout."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def snapshot(self) -> Snapshot:
        return self._rollout.snapshot()


def reads(rollout: Rollout, at: float, first: int) -> bytes:
    """A batch of the pods about to be replaced, and of their successors, which nobody has told of yet."""
    numbers = range(first, min(first + EVERY, rollout.size))
    return body([rollout.read(revision, n, stamp(at), f"s-{n % 7}", "t") for n in numbers for revision in (0, 1)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_rollout_loses_no_evidence(seed):
    """Reads of pods that went a moment ago and of pods that come a moment later: all exact in the end, and explained."""
    rollout = Rollout(PODS)

    async def story(house: House) -> Any:
        await trio.sleep(1)
        deltas = list(rollout.deltas(step=EVERY))
        answered = []
        await house.refs.cluster.send(deltas.pop(0))
        for first in range(0, PODS, EVERY):
            answered.append(await house.post(reads(rollout, house.now(), first)))
            for _ in range(5):
                await house.refs.cluster.send(deltas.pop(0))
                await trio.sleep(0.01)
        await trio.sleep(30)
        return answered, await house.evidence(), await house.lit()

    answered, evidence, lit = play(House(Fleet(rollout)), story, seed=seed)
    assert sum(each.new for each in answered) == 2 * PODS
    pods = sorted(pod for each in evidence for pod in each.pods)
    assert pods == sorted(f"fleet-{revision}-{n}" for revision in (0, 1) for n in range(PODS))
    assert {(each.attribution, each.explained) for each in evidence} == {("exact", True)}
    assert lit == {("fleet", "b-0", "fleet/*")}
