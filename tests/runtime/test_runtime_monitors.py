"""Monitors: whoever watches a place is told once when its actor has ended for good, and only then."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio_run import run

import actors.runtime.cell
from actors.runtime import (
    Actor,
    Backoff,
    Child,
    DynamicSpec,
    Intensity,
    MailboxPolicy,
    Restart,
    Strategy,
    SupervisorSpec,
    Terminated,
    open_system,
)
from actors.runtime.states import ActorState

NOW = Backoff(base_s=0.0)


class Watcher(Actor):
    """Watches what it is told to, and keeps what it is told; a callable is run on it."""

    mailbox = MailboxPolicy(capacity=2)

    def __init__(self, seen: list[Any], first: str | None = None) -> None:
        self.seen = seen
        self.first = first

    async def on_start(self) -> None:
        if self.first is not None:
            self.context.watch(self.context.system.ref(self.first))

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if callable(message):
            result = message(self)
            return await result if inspect.isawaitable(result) else result
        self.seen.append(message)
        return None


async def _settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def test_a_stop_and_a_failure_for_good_are_told_with_their_state(recorder):
    """One that was stopped, and one that failed and is not restarted, with its failure."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            await system.start(
                Child("a", recorder, ([],)),
                Child("b", recorder, ([],), restart=Restart.TEMPORARY),
                Child("w", Watcher, (seen,)),
            )
            ref_a, ref_b, watcher = (system.ref(f"/s/{name}") for name in "abw")
            await watcher.ask(lambda it: [it.context.watch(ref) for ref in (ref_a, ref_b)])
            await ref_a.stop()
            ref_b.tell(ValueError())
            await _settle()
            assert seen[0] == Terminated("/s/a", ActorState.STOPPED, None)
            assert (seen[1].path, seen[1].state, seen[1].failure.type) == ("/s/b", ActorState.FAILED, "ValueError")
            assert len(seen) == 2

    run(main)


def test_a_restart_is_no_end(recorder):
    """The place fails, is restarted, is stopped: one Terminated."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            child = SupervisorSpec("g", (Child("a", recorder, ([],)),), backoff=NOW)
            await system.start(child, Child("w", Watcher, (seen, "/s/g/a")))
            ref = system.ref("/s/g/a")
            ref.tell(ValueError())
            await _settle()
            assert seen == []
            await ref.stop()
            await _settle()
            assert seen == [Terminated("/s/g/a", ActorState.STOPPED, None)]

    run(main)


def test_one_that_has_ended_already_or_was_never_there_is_told_at_once(recorder):
    """Each new watch of it is answered anew."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            await system.start(Child("a", recorder, ([],)), Child("w", Watcher, (seen, "/s/nobody")))
            watcher = system.ref("/s/w")
            await _settle()
            await system.ref("/s/a").stop()
            for _ in range(2):
                await watcher.ask(lambda it: it.context.watch(system.ref("/s/a")))
                await _settle()
            assert [each.path for each in seen] == ["/s/nobody", "/s/a", "/s/a"]

    run(main)


def test_watching_twice_is_watching_once_and_unwatch_withdraws(recorder):
    """Two calls, one message; none after unwatch, also when it waits in the mailbox already."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            await system.start(*(Child(name, recorder, ([],)) for name in "abc"), Child("w", Watcher, (seen,)))
            refs = {name: system.ref(f"/s/{name}") for name in "abc"}
            watcher = system.ref("/s/w")
            await watcher.ask(lambda it: [it.context.watch(refs[name]) for name in "aabc"])
            assert system.snapshot().children[0].watchers == 1
            await watcher.ask(lambda it: it.context.unwatch(refs["b"]))

            async def end_and_unwatch(it: Watcher) -> None:
                await refs["c"].stop()
                it.context.unwatch(refs["c"])

            await watcher.ask(end_and_unwatch)
            await refs["a"].stop()
            await refs["b"].stop()
            await _settle()
            assert [each.path for each in seen] == ["/s/a"]

    run(main)


def test_a_full_mailbox_does_not_refuse_it(recorder):
    """The watcher's two places are taken, and what the ended actor told before comes first."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            await system.start(Child("a", recorder, ([],)), Child("w", Watcher, (seen, "/s/a")))
            watcher = system.ref("/s/w")

            async def fill(it: Watcher) -> None:
                watcher.tell(1)
                watcher.tell(2)
                await system.ref("/s/a").stop()
                assert len(system.ref("/s/w").actor_inbox.queue) == 3

            await watcher.ask(fill)
            await _settle()
            assert seen == [1, 2, Terminated("/s/a", ActorState.STOPPED, None)]

    run(main)


def test_a_watch_dies_with_the_watchers_incarnation(recorder):
    """The next incarnation hears nothing of it, not even what waited in the mailbox; there is no dead letter of it either."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            spec = SupervisorSpec("g", (Child("w", Watcher, (seen,)),), backoff=NOW)
            await system.start(Child("a", recorder, ([],)), Child("b", recorder, ([],)), spec)
            ref_a, ref_b, watcher = (system.ref(path) for path in ("/s/a", "/s/b", "/s/g/w"))

            async def watch_and_fail(it: Watcher) -> None:
                it.context.watch(ref_a)
                it.context.watch(ref_b)
                await ref_a.stop()
                raise ValueError

            watcher.tell(watch_and_fail)
            await _settle()
            assert system.ref("/s/g/w").actor_inbox.depth() == 0
            assert [child.watchers for child in system.snapshot().children[:2]] == [0, 0]
            await ref_b.stop()
            await _settle()
            assert seen == []
            assert [letter.message_type for letter in system.dead_letters] == ["function"]

    run(main)


def test_a_dynamic_child_that_retires_or_is_given_up_is_told(recorder):
    """Both leave the tree for good."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            spec = DynamicSpec("d", lambda _: Child("x", recorder, ([],)), intensity=Intensity(max=0), backoff=NOW)
            await system.start(spec, Child("w", Watcher, (seen,)))
            keyed = system.dynamic("/s/d")
            refs = [keyed.ref(key) for key in "ab"]
            await refs[1].ask(1)
            await system.ref("/s/w").ask(lambda it: [it.context.watch(ref) for ref in refs])
            assert keyed.retire("a")
            refs[1].tell(ValueError())
            await _settle()
            assert {each.path: each.state for each in seen} == {
                "/s/d/a": ActorState.STOPPED,
                "/s/d/b": ActorState.FAILED,
            }

    run(main)


def test_children_end_when_their_supervisor_is_given_up_but_not_when_it_restarts(recorder):
    """A supervisor's restart brings its children back; its end for good is theirs."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            inner = SupervisorSpec(
                "inner",
                (Child("a", recorder, ([],)),),
                Strategy.ONE_FOR_ALL,
                Intensity(max=0, within_s=9.0),
                backoff=NOW,
            )
            outer = SupervisorSpec("outer", (inner,), intensity=Intensity(max=1, within_s=60.0), backoff=NOW)
            spec = SupervisorSpec("top", (outer,), restart=Restart.TEMPORARY)
            top = msgspec.structs.replace(spec, children=(msgspec.structs.replace(outer, restart=Restart.TEMPORARY),))
            await system.start(top, Child("w", Watcher, (seen, "/s/top/outer/inner/a")))
            ref = system.ref("/s/top/outer/inner/a")
            ref.tell(ValueError())
            await _settle()
            assert seen == []
            assert await ref.ask(1) == 1
            ref.tell(ValueError())
            await _settle()
            assert [each.path for each in seen] == ["/s/top/outer/inner/a"]

    run(main)


def test_outside_of_actors_one_waits(recorder):
    """`wait_terminated` returns at the end, at once after it, and leaves nothing behind when it is cancelled."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", recorder, ([],)))
            ref = system.ref("/s/a")
            with trio.move_on_after(1.0):
                await ref.wait_terminated()
            assert system.snapshot().children[0].watchers == 0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ref.wait_terminated)
                await _settle()
                assert system.snapshot().children[0].watchers == 1
                await ref.stop()
            assert await ref.wait_terminated() == Terminated("/s/a", ActorState.STOPPED, None)

    run(main)


def test_the_end_of_the_system_is_the_end_of_every_actor(recorder):
    """Whoever waits outside is told, in the order of the stops."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            told: list[str] = []

            async def wait(ref: Any) -> None:
                told.append((await ref.wait_terminated()).path)

            async with open_system("s") as system:
                await system.start(Child("a", recorder, ([],)), Child("b", recorder, ([],)))
                for name in "ab":
                    nursery.start_soon(wait, system.ref(f"/s/{name}"))
                await _settle()
            await _settle()
            assert told == ["/s/b", "/s/a"]

    run(main)


def test_one_watch_too_many_raises(recorder, monkeypatch):
    """The bound of one incarnation, those that wait in the mailbox included, and that of one place."""
    monkeypatch.setattr(actors.runtime.cell, "WATCHES_PER_ACTOR_MAX", 2)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(*(Child(name, recorder, ([],)) for name in "abc"), Child("w", Watcher, ([],)))
            watcher = system.ref("/s/w")
            refs = [system.ref(f"/s/{name}") for name in "abc"]
            with pytest.raises(RuntimeError, match="watches 2 places"):
                await watcher.ask(lambda it: [it.context.watch(ref) for ref in refs])
            monkeypatch.setattr(actors.runtime.cell, "WATCHERS_PER_PLACE_MAX", 0)
            with pytest.raises(RuntimeError, match="0 watchers"):
                await refs[0].wait_terminated()

    run(main)


def test_an_actor_of_another_system_cannot_be_watched(recorder):
    """Its end would be told on another system's clock."""

    async def main() -> None:
        async with open_system("s") as one, open_system("t") as other:
            await one.start(Child("w", Watcher, ([],)))
            await other.start(Child("a", recorder, ([],)))
            with pytest.raises(ValueError, match="another system"):
                await one.ref("/s/w").ask(lambda it: it.context.watch(other.ref("/t/a")))

    run(main)
