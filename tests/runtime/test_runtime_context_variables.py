"""Context variables travel with each message of a system that carries them: by every way to send, over restarts, and on from there."""

from __future__ import annotations

import contextvars
from typing import Any

import structlog
import trio
import trio.testing
from trio_run import run

from actors.runtime import Actor, Backoff, Child, MailboxPolicy, Overflow, SupervisorSpec, open_system

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class Notes(Actor):
    """Notes the request that each message belongs to, before and after a checkpoint."""

    mailbox = MailboxPolicy(capacity=2, overflow=Overflow.WAIT)

    def __init__(self, seen: list[Any], passes_on_to: str | None = None) -> None:
        self.seen = seen
        self.passes_on_to = passes_on_to

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, trio.Event):
            await message.wait()
            return None
        before = REQUEST.get()
        await trio.lowlevel.checkpoint()
        assert REQUEST.get() == before
        self.seen.append((message, before))
        if self.passes_on_to is not None:
            if message == "later":
                self.context.after(1.0, "timer")
            self.context.system.ref(self.passes_on_to).tell(message)
        REQUEST.set("changed by the handler")
        return before


async def _settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def test_by_tell_ask_send_and_timer_and_on_to_the_next_actor():
    """Each handler sees the variables of whoever told it; what it sets stays its own."""

    async def main() -> None:
        seen: list[Any] = []
        after: list[Any] = []
        async with open_system("s", trace_context=True) as system:
            await system.start(Child("next", Notes, (after,)), Child("a", Notes, (seen, "/s/next")))
            ref = system.ref("/s/a")
            for number, way in enumerate(("tell", "ask", "send", "later")):
                REQUEST.set(f"r-{number}")
                if way in ("tell", "later"):
                    ref.tell(way)
                elif way == "ask":
                    assert await ref.ask(way) == "r-1"
                else:
                    await ref.send(way)
                await _settle()
            REQUEST.set("long after")
            await trio.sleep(2.0)
            await _settle()
            expected = [("tell", "r-0"), ("ask", "r-1"), ("send", "r-2"), ("later", "r-3"), ("timer", "r-3")]
            assert seen == expected
            assert after == expected

    run(main)


def test_whoever_waits_in_line_for_room_brings_its_own():
    """Not that of whoever made the room."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s", trace_context=True) as system:
            await system.start(Child("a", Notes, (seen,)))
            ref = system.ref("/s/a")
            gate = trio.Event()
            ref.tell(gate)
            await _settle()

            async def send(number: int) -> None:
                REQUEST.set(f"r-{number}")
                await ref.send(number)

            async def ask(number: int) -> None:
                REQUEST.set(f"r-{number}")
                await ref.ask(number)

            async with trio.open_nursery() as nursery:
                for number, sender in enumerate((send, send, send, ask)):
                    nursery.start_soon(sender, number)
                    await _settle()
                gate.set()
            await _settle()
            assert seen == [(number, f"r-{number}") for number in range(4)]

    run(main)


def test_over_a_restart():
    """A message that is queued while its actor fails is handled by the next incarnation with its own variables."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s", trace_context=True) as system:
            await system.start(SupervisorSpec("g", (Child("a", Notes, (seen,)),), backoff=Backoff(base_s=50.0)))
            ref = system.ref("/s/g/a")
            ref.tell(ValueError())
            await _settle()
            REQUEST.set("queued")
            ref.tell(1)
            REQUEST.set("after")
            await trio.sleep(100.0)
            assert seen == [(1, "queued")]

    run(main)


def test_from_other_threads():
    """Trio's worker threads have the variables of the task that started them; they may set their own."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s", trace_context=True) as system:
            await system.start(Child("a", Notes, (seen,)))
            ref = system.ref("/s/a")

            def elsewhere() -> None:
                ref.tell(1)
                REQUEST.set("the thread's")
                assert ref.ask(2) == "the thread's"

            REQUEST.set("the task's")
            await trio.to_thread.run_sync(elsewhere)
            assert seen == [(1, "the task's"), (2, "the thread's")]

    run(main, real_time=True)


def test_structlogs_bound_variables_are_there_in_the_handler():
    """`bind_contextvars` around a tell is enough for the lines of whoever handles it."""

    class Logs(Actor):
        async def on_receive(self, message: Any) -> Any:
            return structlog.contextvars.get_contextvars()

    async def main() -> None:
        async with open_system("s", trace_context=True) as system:
            await system.start(Child("a", Logs))
            with structlog.contextvars.bound_contextvars(request="r-1"):
                assert await system.ref("/s/a").ask(1) == {"request": "r-1"}
            assert await system.ref("/s/a").ask(1) == {}

    run(main)


def test_without_it_nothing_travels():
    """The default: a handler sees the variables that its actor was started with."""

    async def main() -> None:
        seen: list[Any] = []
        async with open_system("s") as system:
            await system.start(Child("a", Notes, (seen,)))
            REQUEST.set("r-1")
            await system.ref("/s/a").ask(1)
            assert seen == [(1, "none")]

    run(main)
