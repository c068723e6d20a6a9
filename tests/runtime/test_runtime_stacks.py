"""Live stacks: where each actor stands, as text, without values, bounded."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest
import trio
import trio.testing
from trio_run import run

import actors.runtime.stacks
from actors.runtime import Actor, Child, DynamicSpec, SupervisorSpec, UnknownPath, open_system


class Deep(Actor):
    """Sleeps a few calls down, or beside the loop, or looks at itself."""

    async def on_receive(self, message: Any) -> Any:
        secret = "s3cret"  # noqa: F841 - it must not be shown
        if message == "look":
            return self.look()
        if message == "beside":
            return self.context.start_soon(self.tends, 1)
        await self.first(message)
        return None

    def look(self) -> str:
        return self.context.system.stack(self.context.path)

    async def first(self, message: Any) -> None:
        await self.second(message)

    async def second(self, message: Any) -> None:
        await trio.sleep_forever()

    async def tends(self, _: int) -> None:
        await trio.sleep_forever()


async def _settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def _names(text: str) -> list[str]:
    """The functions of this file's class, in the order of the text."""
    return [
        line.rpartition("Deep.")[2]
        for line in text.splitlines()
        if "test_runtime_stacks.py" in line and "Deep." in line
    ]


def test_a_sleeping_actor_is_shown_innermost_last():
    """A headline that says what it does and for how long, then file, line and function of each call."""

    async def main() -> None:
        async with open_system("s", stop_timeout_s=0.0) as system:
            await system.start(Child("a", Deep))
            ref = system.ref("/s/a")
            ref.tell(("deep", "s3cret"))
            ref.tell(2)
            await _settle()
            text = system.stack("/s/a")
            assert text.splitlines()[0].startswith("/s/a (Deep) running, incarnation 1, handles tuple for ")
            assert text.splitlines()[0].endswith(" s, 1 of 1,000 queued")
            assert _names(text) == ["on_receive", "first", "second"]
            assert "runtime/loop.py:" in text
            assert "s3cret" not in text
            assert str(__file__) not in text

    run(main)


def test_an_idle_one_a_task_beside_the_loop_and_the_one_that_looks():
    """Each where it is: in its mailbox, in its own task, in the call that looks."""

    async def main() -> None:
        async with open_system("s", stop_timeout_s=0.0) as system:
            await system.start(SupervisorSpec("g", (Child("a", Deep), Child("b", Deep))))
            assert _names(system.stack("/s/g/a")) == []
            assert "runtime/park.py:" in system.stack("/s/g/a")
            await system.ref("/s/g/b").ask("beside")
            await _settle()
            text = system.stack("/s/g/b")
            assert "  beside the loop: Deep.tends" in text.splitlines()
            assert _names(text) == ["tends"]
            assert _names(await system.ref("/s/g/a").ask("look"))[:2] == ["on_receive", "look"]
            assert "/s/g (Supervisor) running" in system.stack("/s/g")
            assert "/s (RootSupervisor) running" in system.stack("/s")

    run(main)


def test_one_that_does_not_run_has_a_headline_only():
    """Stopped for good; and a path where nothing ever was is an error."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", Deep))
            await system.ref("/s/a").stop()
            assert system.stack("/s/a") == "/s/a (Deep) stopped, incarnation 1"
            system.ref("/s/named")
            for path in ("/s/named", "/s/nobody", "a"):
                with pytest.raises(UnknownPath):
                    system.stack(path)

    run(main)


def test_of_a_threaded_actor_the_thread_is_shown():
    """What blocks there, not only that the loop waits for it."""
    go, inside = threading.Event(), threading.Event()

    class Blocking(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            self.blocks()

        def blocks(self) -> None:
            inside.set()
            go.wait(20.0)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("t", Blocking))
            system.ref("/s/t").tell(1)
            await trio.to_thread.run_sync(inside.wait, 20.0)
            lines = system.stack("/s/t").splitlines()
            thread = lines[lines.index("  in its thread:") :]
            mine = [line.rpartition(".")[2] for line in thread if "test_runtime_stacks.py" in line]
            assert mine == ["on_receive", "blocks"]
            assert not any("trio/_threads.py" in line for line in lines)
            go.set()

    run(main, real_time=True)


def test_the_whole_tree_is_indented_and_bounded(monkeypatch):
    """Those that do something are shown before the idle ones, and what is left out is counted."""
    monkeypatch.setattr(actors.runtime.stacks, "CHILDREN_MAX", 3)
    monkeypatch.setattr(actors.runtime.stacks, "ACTORS_MAX", 5)

    async def main() -> None:
        async with open_system("s", stop_timeout_s=0.0) as system:
            await system.start(DynamicSpec("d", lambda key: Child(key, Deep)), Child("a", Deep), Child("b", Deep))
            many = system.dynamic("/s/d")
            for number in range(10):
                many.ref(str(number))
            many.ref("7").tell(1)
            await _settle()
            lines = system.stacks().splitlines()
            shown = [line for line in lines if "incarnation" in line]
            assert [line.partition(" (")[0] for line in shown] == [
                "/s",
                "  /s/d",
                "    /s/d/7",
                "    /s/d/0",
                "    /s/d/1",
            ]
            assert "    … 7 more children, not shown" in lines
            assert lines[-1] == "5 of 14 actors shown"
            assert _names(system.stacks()) == ["on_receive", "first", "second"]

    run(main)


def test_many_tasks_and_deep_stacks_are_bounded(monkeypatch):
    """The innermost frames and the first tasks are shown, the rest is counted."""
    monkeypatch.setattr(actors.runtime.stacks, "TASKS_MAX", 2)
    monkeypatch.setattr(actors.runtime.stacks, "FRAMES_MAX", 2)

    async def main() -> None:
        async with open_system("s", stop_timeout_s=0.0) as system:
            await system.start(Child("a", Deep))
            for _ in range(4):
                await system.ref("/s/a").ask("beside")
            await _settle()
            text = system.stack("/s/a")
            assert "  … 3 more tasks beside the loop" in text
            assert "more frames" in text

    run(main)
