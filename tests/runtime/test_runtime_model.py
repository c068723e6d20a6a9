"""Supervisors against a model: whatever a tree looks like and whatever befalls it, the real one does what a naive one says.

The model knows no tasks, no time but the number it is given and no states but up, down and gone. It is written from the documentation
(specs.py: strategies, restart types, intensity), as simply as can be; the real tree runs on the virtual clock beside it. After every
event the order of all starts, failures and stops, and who is alive, have to be equal. More examples: PROTECTOR_TEST_EXAMPLES=20000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio_run import run

from actors.runtime import Actor, Backoff, Child, Intensity, Restart, Spec, Strategy, SupervisorSpec, open_system

EXAMPLES = int(os.environ.get("PROTECTOR_TEST_EXAMPLES", "200"))

TICK_S = 1 / 1024
"""For things to settle; a power of two, so that sums of times stay exact."""

WITHIN_S = 8.0
"""Every window of these trees."""

Log = list[tuple[str, str]]


@dataclass(eq=False)
class Leaf:
    """An actor of the model."""

    name: str
    restart: Restart
    log: Log = field(default_factory=list, repr=False)
    parent: Group | None = field(default=None, repr=False)
    up: bool = False
    gone: bool = False
    broken: int = 0
    """How many of its coming starts fail."""

    def start(self, now: float) -> bool:
        """Whether it came up."""
        if self.broken:
            self.broken -= 1
            self.log.append(("failure", self.name))
            return False
        self.up = True
        self.log.append(("start", self.name))
        return True

    def stop(self) -> None:
        self.up = False
        self.log.append(("stop", self.name))

    def finish(self) -> None:
        self.up, self.gone = False, True


@dataclass(eq=False)
class Group:
    """A supervisor of the model: it restarts at once."""

    name: str
    restart: Restart
    strategy: Strategy
    most: int
    children: list[Leaf | Group]
    parent: Group | None = field(default=None, repr=False)
    up: bool = False
    gone: bool = False
    times: list[float] = field(default_factory=list)

    def start(self, now: float) -> bool:
        """Start the children in order; whether it did not give up over it."""
        self.up, self.times = True, []
        for child in self.children:
            if not child.gone and not child.up and not child.start(now):
                self.ended(child, now, failed=True)
                if not self.up:
                    return False
        return True

    def stop(self) -> None:
        for child in reversed(self.children):
            if child.up:
                child.stop()
        self.up = False

    def finish(self) -> None:
        self.up, self.gone = False, True
        for child in self.children:
            child.finish()

    def ended(self, child: Leaf | Group, now: float, *, failed: bool) -> None:
        """What follows when a child has ended."""
        if child.restart is Restart.TEMPORARY or (child.restart is Restart.TRANSIENT and not failed):
            child.finish()
            return
        self.times = [at for at in [*self.times, now] if at >= now - WITHIN_S]
        if len(self.times) > self.most:
            self.stop()
            return
        place = self.children.index(child)
        group = {
            Strategy.ONE_FOR_ONE: [child],
            Strategy.ONE_FOR_ALL: self.children,
            Strategy.REST_FOR_ONE: self.children[place:],
        }[self.strategy]
        for member in reversed(group):
            if member.up:
                member.stop()
                if member.restart is Restart.TEMPORARY:
                    member.finish()
        for member in group:
            if not member.gone and not member.up and not member.start(now):
                self.ended(member, now, failed=True)
                return


def befalls(node: Leaf | Group, how: str, now: float) -> None:
    """Let something befall a node that is up, and the consequences go up the tree as far as they do."""
    if how == "kill":
        node.finish()
        return
    if how in ("fail", "murder"):
        node.up = False
        if how == "fail" and isinstance(node, Leaf):  # a kill is a failure as well, but no hook of the actor runs
            node.log.append(("failure", node.name))
    else:
        node.stop()
    if how == "stop":
        node.finish()
        return
    above, failed = node.parent, how != "end"
    while above is not None:
        above.ended(node, now, failed=failed)
        if above.up:
            return
        node, above, failed = above, above.parent, True
    node.finish()  # the top is temporary


def nodes(top: Leaf | Group, path: str = "/s") -> Iterator[tuple[str, Leaf | Group]]:
    """Every node with its path."""
    here = f"{path}/{top.name}"
    yield here, top
    for child in top.children if isinstance(top, Group) else ():
        yield from nodes(child, here)


class Worker(Actor):
    """The real counterpart of a leaf; `broken` says how many of the coming starts of which name fail."""

    def __init__(self, log: Log, broken: dict[str, int]) -> None:
        self.log = log
        self.broken = broken
        self.name = self.context.path.rpartition("/")[2]

    async def on_start(self) -> None:
        if self.broken.get(self.name, 0):
            self.broken[self.name] -= 1
            raise OSError
        self.log.append(("start", self.name))

    async def on_receive(self, message: Any) -> None:
        if message == "fail":
            raise ValueError
        self.stop()

    async def on_stop(self) -> None:
        self.log.append(("stop", self.name))

    async def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.log.append(("failure", self.name))


def spec_of(node: Leaf | Group, log: Log, broken: dict[str, int]) -> Spec:
    """The specification of the real tree."""
    if isinstance(node, Leaf):
        return Child(node.name, Worker, (log, broken), restart=node.restart)
    children = tuple(spec_of(child, log, broken) for child in node.children)
    intensity = Intensity(max=node.most, within_s=WITHIN_S)
    return SupervisorSpec(node.name, children, node.strategy, intensity, Backoff(base_s=0.0), restart=node.restart)


RESTARTS = st.sampled_from([Restart.PERMANENT, Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY])
STRATEGIES = st.sampled_from(list(Strategy))
MOST = st.sampled_from([0, 1, 2, 3, 5, 8])
LEAVES = st.builds(Leaf, st.just(""), RESTARTS)
GROUPS = st.builds(Group, st.just(""), RESTARTS, STRATEGIES, MOST, st.lists(LEAVES, min_size=1, max_size=3))
TREES = st.builds(
    Group,
    st.just("top"),
    st.just(Restart.TEMPORARY),
    STRATEGIES,
    MOST,
    st.lists(LEAVES | GROUPS, min_size=2, max_size=4),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [0.0, 0.0, 0.0, 1.0, WITHIN_S - TICK_S, WITHIN_S]
        ),  # how long after the last one; the window's edge too
        st.integers(0, 20),  # whom: the nth node that is up
        st.sampled_from(["fail", "fail", "fail", "fail", "fail", "murder", "end", "end", "stop", "kill"]),
        st.integers(0, 20),  # whose next starts fail
        st.sampled_from([0, 0, 1, 1, 2, 4]),  # how many of them
    ),
    min_size=3,
    max_size=12,
)


def christen(top: Group) -> tuple[Group, Log]:
    """Name every node, tell it its parent, and give all of them one log."""
    log: Log = []
    names = iter("abcdefghijklmnop")

    def walk(group: Group) -> None:
        for child in group.children:
            child.parent, child.name = group, next(names)
            if isinstance(child, Group):
                walk(child)
            else:
                child.log = log

    walk(top)
    return top, log


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the log is quiet for all examples alike
)
@given(TREES, EVENTS)
def test_a_tree_does_what_the_model_says(top: Group, events: list[Any]) -> None:
    """Starts, failures and stops in the same order, and the same ones alive, after every event."""
    top, expected = christen(top)
    log: Log = []
    broken: dict[str, int] = {}

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(spec_of(top, log, broken))
            assert top.start(trio.current_time())
            for after_s, whom, how, weak, count in events:
                await trio.sleep(after_s)
                fragile = [node for _, node in nodes(top) if isinstance(node, Leaf)]
                leaf = fragile[weak % len(fragile)]
                leaf.broken = broken[leaf.name] = count
                up = [
                    (path, node) for path, node in nodes(top) if node.up and (how == "stop" or isinstance(node, Leaf))
                ]
                if not up:
                    break
                path, node = up[whom % len(up)]
                ref = system.ref(path)
                befalls(node, how, trio.current_time())
                if how in ("fail", "end"):
                    ref.tell(how)
                elif how == "stop":
                    ref.stop()
                elif how == "murder":
                    system.kill_actor(path)
                else:
                    ref.kill()
                await trio.sleep(TICK_S)
                assert expected == log
                alive = {path for path, node in nodes(top) if not node.gone}
                assert alive == {path for path, _ in nodes(top) if system.ref(path).is_alive()}

    run(main)
