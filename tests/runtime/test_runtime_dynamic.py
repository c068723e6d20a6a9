"""Children by key: started at first use, restarted, retired, bounded, given up one by one."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio_run import run

from actors.runtime import (
    Actor,
    ActorDead,
    Backoff,
    Child,
    Dynamic,
    DynamicSpec,
    Intensity,
    SupervisorSpec,
    System,
    TooManyChildren,
    open_system,
)

AT_ONCE = Backoff(base_s=0.0)


class Account(Actor):
    """Counts; crashes, retires and dawdles on demand."""

    def __init__(self, key: str, log: list[Any]) -> None:
        self.key, self.log, self.count = key, log, 0

    async def on_start(self) -> None:
        self.log.append(("start", self.key))

    async def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError
        if message == "retire":
            return self.context.retire()
        if message == "sleep":
            await trio.sleep(1)
        self.count += 1
        return (self.count, self.context.incarnation)

    async def on_stop(self) -> None:
        await trio.sleep(0.5)
        self.log.append(("stop", self.key))


async def accounts(system: System, log: list[Any], **more: Any) -> Dynamic:
    """The handle of a started dynamic supervisor of accounts."""
    spec = DynamicSpec("accounts", lambda key: Child(key, Account, (key, log)), **{"backoff": AT_ONCE, **more})
    await system.start(SupervisorSpec("p", (spec,), backoff=AT_ONCE))
    return system.dynamic("/s/p/accounts")


def test_started_at_first_use() -> None:
    """`ref` starts the actor, synchronously, and gives the same place afterwards; its path ends in the key."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log)
            assert dynamic.keys() == ()
            ref = dynamic.ref("app.reader")
            ref.tell("first")
            assert await dynamic.ref("app.reader").ask("second") == (2, 1)
            assert ref.path == "/s/p/accounts/app.reader"
            assert ref is system.ref(ref.path)
            assert ref is dynamic.get("app.reader")
            assert None is dynamic.get("other")
            assert dynamic.keys() == ("app.reader",)
            assert "app.reader" in dynamic
            assert len(dynamic) == 1
            with pytest.raises(ValueError, match="slash"):
                dynamic.ref("a/b")

    run(main)


def test_a_key_used_before_the_tree_is_up() -> None:
    """A handle of a place that is not part of a tree refuses; one that is registered but not up keeps the messages."""
    log: list[Any] = []

    class Early(Actor):
        async def on_start(self) -> None:
            self.context.system.dynamic("/s/accounts").ref("a").tell("early")

    async def main() -> None:
        async with open_system("s") as system:
            with pytest.raises(ActorDead):
                system.dynamic("/s/accounts").ref("a")
            spec = DynamicSpec("accounts", lambda key: Child(key, Account, (key, log)))
            await system.start(Child("early", Early), spec)
            assert await system.dynamic("/s/accounts").ref("a").ask("x") == (2, 1)

    run(main)


def test_a_crash_restarts_the_child_alone() -> None:
    """The crashed child comes back with what was queued; the others notice nothing."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log)
            dynamic.ref("a").tell("crash")
            assert await dynamic.ref("a").ask("x") == (1, 2)
            assert await dynamic.ref("b").ask("x") == (1, 1)

    run(main)


def test_retire() -> None:
    """A child with an empty mailbox leaves the tree at once, runs its on_stop, and its old ref is dead; a busy one stays."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log)
            ref = dynamic.ref("a")
            busy = ref.ask("retire")
            ref.tell("x")
            assert not await busy
            assert await ref.ask("retire")
            assert dynamic.keys() == ()
            with pytest.raises(ActorDead):
                ref.tell("late")
            assert system.snapshot().children[0].children[0].children == ()
            await trio.sleep(1)
            assert log == [("start", "a"), ("stop", "a")]
            assert dynamic.statistics().retired == 1

    run(main)


def test_the_successor_waits_for_the_one_that_retires() -> None:
    """A key that is used again while its actor is still in on_stop gets a new actor, which starts when the old one is over."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log)
            assert await dynamic.ref("a").ask("retire")
            assert await dynamic.ref("a").ask("x") == (1, 1)
            assert log == [("start", "a"), ("stop", "a"), ("start", "a")]

    run(main)


def test_retired_from_outside() -> None:
    """`Dynamic.retire` is the same, from outside: False for a key that is busy or unknown; a child in backoff may go."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            dynamic = await accounts(system, log, backoff=Backoff(base_s=100.0, cap_s=100.0))
            assert not dynamic.retire("a")
            dynamic.ref("a").tell("sleep")
            assert not dynamic.retire("a")
            await trio.sleep(2)
            assert dynamic.retire("a")
            dynamic.ref("b").tell("crash")
            await trio.sleep(0.1)
            assert dynamic.retire("b")
            assert dynamic.keys() == ()
            await trio.sleep(300)
            assert sum(1 for entry in log if entry == ("start", "b")) == 1

    run(main)


@pytest.mark.parametrize("how", ["stop", "kill", "stop in backoff"])
def test_stopped_from_outside(how: str) -> None:
    """A child that was stopped or killed by its ref leaves the tree; the next use of its key starts it afresh."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            dynamic = await accounts(system, log, backoff=Backoff(base_s=100.0, cap_s=100.0))
            ref = dynamic.ref("a")
            if how == "kill":
                ref.kill()
            else:
                if how == "stop in backoff":
                    ref.tell("crash")
                    await trio.sleep(0.1)
                assert await ref.stop()
            await trio.sleep(1)
            assert dynamic.keys() == ()
            assert await dynamic.ref("a").ask("x") == (1, 1)

    run(main)


def test_the_number_of_children_is_bounded() -> None:
    """Over max_children a new key is refused and counted; a present one is not."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log, max_children=2)
            dynamic.ref("a")
            dynamic.ref("b")
            with pytest.raises(TooManyChildren):
                dynamic.ref("c")
            dynamic.ref("a")
            statistics = dynamic.statistics()
            assert (
                statistics.children,
                statistics.max_children,
                statistics.started,
                statistics.refused,
            ) == (2, 2, 2, 1)

    run(main)


def test_a_child_that_cannot_be_kept_up_is_given_up_alone() -> None:
    """Over its own intensity it leaves the tree; its siblings run on; the next use of the key starts it afresh."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log, intensity=Intensity(max=2, within_s=60.0))
            ref = dynamic.ref("bad")
            dynamic.ref("good")
            for _ in range(3):
                ref.tell("crash")
            left = ref.ask("never handled")
            with pytest.raises(ActorDead):
                await left
            assert dynamic.keys() == ("good",)
            assert dynamic.statistics().given_up == 1
            assert await dynamic.ref("bad").ask("x") == (1, 1)

    run(main)


def test_too_many_given_up_escalate() -> None:
    """When many children are given up the supervisor fails; restarted, it brings back the children that were there."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            once = Intensity(max=0, within_s=60.0)
            dynamic = await accounts(system, log, intensity=once, escalation=Intensity(max=1, within_s=60.0))
            dynamic.ref("good").tell("x")
            for key in ("bad1", "bad2"):
                dynamic.ref(key).tell("crash")
            await trio.sleep(5)
            supervisor = system.snapshot().children[0].children[0]
            assert (supervisor.incarnation, supervisor.state) == (2, "running")
            assert dynamic.keys() == ("good",)
            assert await dynamic.ref("good").ask("x") == (1, 2)

    run(main)


def test_stopped_all_at_once() -> None:
    """Children do not depend on one another: their on_stops run beside one another."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log)
            for number in range(20):
                dynamic.ref(f"k{number}")
            await trio.testing.wait_all_tasks_blocked()
            before = trio.current_time()
            await system.stop()
            assert trio.current_time() - before == 0.5
            with pytest.raises(ActorDead):
                dynamic.ref("late")
        assert sum(1 for kind, _ in log if kind == "stop") == 20

    run(main)


def test_a_thousand_idle_actors() -> None:
    """A thousand children start, are shown, and stop."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            dynamic = await accounts(system, log)
            for number in range(1000):
                dynamic.ref(f"k{number}")
            await trio.testing.wait_all_tasks_blocked()
            tree = system.snapshot().children[0].children[0]
            assert len(tree.children) == 1000
            assert {"running"} == {child.state for child in tree.children}
        assert sum(1 for kind, _ in log if kind == "stop") == 1000

    run(main)
