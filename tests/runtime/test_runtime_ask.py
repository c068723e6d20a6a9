"""Asking and telling on the Trio thread: replies, timeouts, late replies, and calls that would block the loop."""

from __future__ import annotations

from typing import Any

import pykka
import pytest
import trio
from pykka.messages import ProxyCall
from trio_run import run

import actors.runtime.park
from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    AskTimeout,
    Child,
    Reason,
    System,
    TrioFuture,
    WouldBlock,
    open_system,
)


class Worker(Actor):
    answers = (LookupError,)

    def __init__(self) -> None:
        self.later: Any = None
        self.handled = 0

    async def on_receive(self, message: Any) -> Any:
        self.handled += 1
        match message:
            case ("sleep", seconds):
                await trio.sleep(seconds)
                return "slept"
            case ("raise", error):
                raise error
            case "later":
                self.later = self.context.reply_later()
                return "ignored"
            case ("answer", value):
                self.later.set(value)
            case ("refuse", error):
                self.later.fail(error)
            case "incarnation":
                return self.context.incarnation
            case "handled":
                return self.handled
        return message

    async def double(self, number: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * number


async def started(system: System) -> Any:
    await system.start(Child("worker", Worker))
    return system.ref(f"/{system.name}/worker")


def test_ask_is_awaited() -> None:
    """`await ref.ask(message)` gives the reply; a proxied async method is awaited as well."""

    async def main() -> None:
        async with open_system("s") as system:
            ref = await started(system)
            assert await ref.ask(5) == 5
            assert await ref.ask(ProxyCall(("double",), (4,), {})) == 8
            assert await ref.proxy().double(3) == 6
            assert await ref.ask(3, block=False).map(lambda value: value + 4) == 7
            assert await ref.ask(1).join(ref.ask(2)) == [1, 2]

    run(main)


def test_what_would_block_the_loop_raises_at_once() -> None:
    """Blocking calls on the Trio thread raise, and name the call to use instead."""

    async def main() -> None:
        async with open_system("s") as system:
            ref = await started(system)
            with pytest.raises(WouldBlock, match=r"await ref\.ask"):
                ref.ask(1, block=True)
            with pytest.raises(WouldBlock, match="await future"):
                ref.ask(1).get()
            with pytest.raises(WouldBlock, match=r"await ref\.stop"):
                ref.stop(block=True)
            with pytest.raises(WouldBlock, match=r"await ref\.ask"):
                ref.proxy().handled = 3
            with pytest.raises(WouldBlock, match="await future"):
                ref.ask([1]).map(len).get()

    run(main)


def test_ask_times_out_to_the_tick_and_the_late_reply_is_dropped() -> None:
    """`timeout_s` raises AskTimeout exactly then; the actor goes on, and its late reply disturbs nobody."""

    async def main() -> None:
        async with open_system("s") as system:
            ref = await started(system)
            before = trio.current_time()
            with pytest.raises(AskTimeout):
                await ref.ask(("sleep", 10), timeout_s=3)
            assert trio.current_time() - before == 3
            assert await ref.ask("next", timeout_s=60) == "next"
            assert trio.current_time() - before == 10
            assert isinstance(AskTimeout(), pykka.Timeout)

    run(main)


def test_a_cancelled_asker_leaves_the_actor_alone() -> None:
    """An asker that is cancelled while it waits costs the actor nothing."""

    async def main() -> None:
        async with open_system("s") as system:
            ref = await started(system)
            with trio.move_on_after(1) as scope:
                await ref.ask(("sleep", 5))
            assert scope.cancelled_caught
            assert await ref.ask("incarnation") == 1

    run(main)


def test_the_asker_of_a_crash_gets_one_exception_with_two_faces() -> None:
    """It is an ActorCrashed and what the handler raised; the message is a dead letter, the actor restarts."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            ref = await started(system)
            with pytest.raises(ActorCrashed) as crash:
                await ref.ask(("raise", ValueError("x")))
            assert isinstance(crash.value, ValueError)
            assert isinstance(crash.value.__cause__, ValueError)
            assert await ref.ask("incarnation") == 2
            assert [(letter.path, letter.message_type, letter.reason) for letter in system.dead_letters] == [
                ("/s/worker", "tuple", Reason.CRASHED)
            ]

    run(main)


def test_a_declared_answer_is_no_failure() -> None:
    """An exception in `answers` goes to the asker as it is, and the actor lives on; under `tell` it is a failure."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            ref = await started(system)
            with pytest.raises(KeyError) as answer:
                await ref.ask(("raise", KeyError("k")))
            assert not isinstance(answer.value, ActorCrashed)
            assert await ref.ask("incarnation") == 1
            ref.tell(("raise", KeyError("k")))
            assert await ref.ask("incarnation") == 2

    run(main)


def test_reply_later() -> None:
    """The handler's value is ignored, the reply comes when it is set; a failure of it is no failure of the actor."""

    async def main() -> None:
        async with open_system("s") as system:
            ref = await started(system)
            future = ref.ask("later")
            ref.tell(("answer", 42))
            assert await future == 42
            future = ref.ask("later")
            ref.tell(("refuse", ValueError("no")))
            with pytest.raises(ValueError, match="no"):
                await future
            assert await ref.ask("incarnation") == 1

    run(main)


def test_promised_replies_fail_with_the_crash() -> None:
    """Asks in flight at a crash get ActorCrashed; asks that were only queued are answered by the next incarnation."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            ref = await started(system)
            promised = ref.ask("later")
            ref.tell(("raise", RuntimeError()))
            queued = ref.ask("incarnation")
            with pytest.raises(ActorCrashed):
                await promised
            assert await queued == 2

    run(main)


def test_reply_later_outside_of_a_handler_is_a_mistake() -> None:
    """Nobody asks in `on_start`."""

    class Wrong(Actor):
        async def on_start(self) -> None:
            with pytest.raises(RuntimeError, match="on_receive"):
                self.context.reply_later()

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("wrong", Wrong))

    run(main)


def test_telling_what_is_not_there() -> None:
    """A ref to a place that is not part of the tree refuses; so does the ref of a stopped actor."""

    async def main() -> None:
        async with open_system("s") as system:
            nobody = system.ref("/s/nobody")
            assert not nobody.is_alive()
            with pytest.raises(ActorDead):
                nobody.tell(1)
            with pytest.raises(ActorDead):
                await nobody.ask(1)
            with pytest.raises(ActorDead):
                await nobody.send(1)
            ref = await started(system)
            assert await ref.stop()
            with pytest.raises(ActorDead):
                ref.tell(1)
            assert not await ref.stop()
            with pytest.raises(ValueError, match="/s/"):
                system.ref("/other/place")

    run(main)


def test_futures_under_trio() -> None:
    """Several tasks may await one future; a get hook runs in a worker thread; setting twice raises."""

    async def main() -> None:
        future: TrioFuture[int] = TrioFuture()
        got: list[int] = []

        async def wait() -> None:
            got.append(await future)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            with trio.move_on_after(1):
                await future
            future.set(5)
        assert got == [5, 5, 5]
        with pytest.raises(Exception):  # noqa: B017 - queue.Full, as in Pykka
            future.set(6)
        hooked: TrioFuture[str] = TrioFuture()
        hooked.set_get_hook(lambda _: "made")
        assert await hooked == "made"
        failed: TrioFuture[int] = TrioFuture()
        try:
            raise OSError("disk")
        except OSError:
            failed.set_exception()
        with pytest.raises(OSError, match="disk"):
            await failed

    run(main, real_time=True)


def test_several_tasks_await_one_ask() -> None:
    """Each gets the reply, one that gives up meanwhile disturbs nobody, and so does one that comes when it is there."""

    async def main() -> None:
        got: list[Any] = []
        async with open_system("s") as system:
            ref = await started(system)
            future = ref.ask(("sleep", 2))

            async def wait(patience_s: float) -> None:
                with trio.move_on_after(patience_s):
                    got.append(await future)

            async with trio.open_nursery() as nursery:
                for patience_s in (1, 5, 1, 5):
                    nursery.start_soon(wait, patience_s)
            assert got == ["slept", "slept"]
            assert await future == "slept"

    run(main)


@pytest.mark.parametrize("name", ["_park_by_trap", "_park_by_public_name"])
def test_both_ways_to_sleep(name: str) -> None:
    """Trio's private trap and its public function do the same: sleep until rescheduled, or until cancelled."""

    async def main() -> None:
        park = getattr(actors.runtime.park, name)
        task = trio.lowlevel.current_task()
        async with trio.open_nursery() as nursery:

            async def wake() -> None:
                await trio.sleep(1)
                trio.lowlevel.reschedule(task)

            nursery.start_soon(wake)
            await park(lambda _: trio.lowlevel.Abort.SUCCEEDED)
        assert trio.current_time() == 1
        with trio.move_on_after(1) as scope:
            await park(lambda _: trio.lowlevel.Abort.SUCCEEDED)
        assert scope.cancelled_caught

    run(main)


def test_unknown_messages_warn_and_go_on(capsys) -> None:
    """The default handler says the type of the message, never its contents."""

    class Plain(Actor):
        pass

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("plain", Plain))
            assert None is await system.ref("/s/plain").ask({"password": "canary"})

    run(main)
    out = "".join(capsys.readouterr())
    assert "dict" in out
    assert "canary" not in out
