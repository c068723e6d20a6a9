"""A `pykka.ThreadingActor` as a child of ours, and the fence around what its thread owns. Real threads, so real time; no sleeps."""

from __future__ import annotations

import contextvars
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pykka
import pytest
import trio
import trio.testing
from trio_run import run

import actors.runtime.fence
import actors.runtime.threads
from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    ActorState,
    Backoff,
    Child,
    DynamicSpec,
    EventKind,
    Fenced,
    FenceHeld,
    Intensity,
    MailboxFull,
    MailboxPolicy,
    Reason,
    Restart,
    SupervisorSpec,
    System,
    current_fence,
    open_system,
)

NOW = Backoff(base_s=0.0)
PATIENCE_S = 20.0


class DeclinedError(Exception):
    """An answer."""


class Worker(pykka.ThreadingActor):
    """Runs what it is told, writes down its hooks and their threads."""

    answers = (DeclinedError,)
    mailbox = MailboxPolicy(capacity=3)
    label = "worker"

    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log = log if log is not None else []
        self.made_in = threading.get_ident()

    def on_start(self) -> None:
        self.log.append("start")
        self.started_in = threading.get_ident()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message

    def on_stop(self) -> None:
        self.log.append("stop")

    def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.log.append(("failure", exception_type.__name__, threading.get_ident() == self.started_in))

    def double(self, number: int) -> int:
        if number < 0:
            raise ValueError
        return 2 * number


def _watched(log: list[Any] | None = None, **more: Any) -> SupervisorSpec:
    values = {"stop_timeout_s": 0.05} | more
    return SupervisorSpec(
        "g", (Child("w", Worker, (log,), **values),), intensity=Intensity(max=100, within_s=9.0), backoff=NOW
    )


async def _until(system: System, kind: EventKind, act: Callable[[], Any]) -> None:
    """Does something, and waits for the event that follows from it."""
    with system.subscribe() as events, trio.fail_after(PATIENCE_S):
        result = act()
        if isinstance(result, Awaitable):
            await result
        async for event in events:
            if event.kind is kind:
                return


class Gate:
    """A handler that says that it is in there, and stays until it is let go."""

    def __init__(self) -> None:
        self.inside, self.go, self.out = threading.Event(), threading.Event(), threading.Event()
        self.caught: BaseException | None = None

    def __call__(self, _: Any) -> None:
        self.inside.set()
        assert self.go.wait(PATIENCE_S)
        try:
            self.afterwards()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.caught = error
        finally:
            self.out.set()

    def afterwards(self) -> None:
        """What it does when it wakes."""

    async def entered(self) -> None:
        assert await trio.to_thread.run_sync(self.inside.wait, PATIENCE_S)

    async def left(self) -> None:
        assert await trio.to_thread.run_sync(self.out.wait, PATIENCE_S)


def test_hooks_run_in_one_thread_of_its_own_and_messages_one_at_a_time():
    """`__init__` on the loop's thread, as for every actor; every other hook in one other thread."""

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            await system.start(Child("w", Worker, (log,)))
            ref = system.ref("/s/w")
            here = threading.get_ident()
            assert await ref.ask(lambda it: it.made_in) == here
            idents = {await ref.ask(lambda it: (it.started_in, threading.get_ident())) for _ in range(3)}
            assert len(idents) == 1
            (started_in, handled_in) = idents.pop()
            assert started_in == handled_in != here
            await ref.stop()
        assert log == ["start", "stop"]

    run(main, real_time=True)


def test_the_snapshot_shows_it_by_its_own_class():
    """Its name, no strategy, its bound, its restart type, no abandoned thread."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("w", Worker))
            await system.ref("/s/w").ask(1)
            shown = system.snapshot().children[0]
            assert (shown.actor, shown.strategy, shown.mailbox.capacity, shown.handled) == ("Worker", None, 3, 1)
            assert (shown.restart_type, shown.abandoned_threads) == ("permanent", 0)
            assert system.ref("/s/w").actor_class is Worker

    run(main, real_time=True)


def test_proxies_reach_its_methods_and_attributes():
    """From the loop and from another thread, in its thread, with Pykka's meaning."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("w", Worker))
            proxy = system.ref("/s/w").proxy()
            assert await proxy.double(4) == 8
            assert await proxy.label == "worker"

            def elsewhere() -> Any:
                other = system.ref("/s/w").proxy()
                other.label = "renamed"
                return other.label.get(timeout=PATIENCE_S), other.double(5).get(timeout=PATIENCE_S)

            assert await trio.to_thread.run_sync(elsewhere) == ("renamed", 10)

    run(main, real_time=True)


@pytest.mark.parametrize("ask", [True, False])
def test_an_exception_is_a_failure_under_tell_and_under_ask(ask):
    """The one rule: `on_failure` in its thread, a restart, the asker hears of it, the message is a dead letter."""

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            await system.start(_watched(log))
            ref = system.ref("/s/g/w")
            if ask:
                with pytest.raises(ActorCrashed) as caught:
                    await ref.ask(ValueError())
                assert isinstance(caught.value, ValueError)
            else:
                ref.tell(ValueError())
            assert await ref.ask(1) == 1
            assert log == ["start", ("failure", "ValueError", True), "start"]
            assert system.dead_letters.counts[Reason.CRASHED] == 1
            assert system.snapshot().children[0].children[0].incarnation == 2

    run(main, real_time=True)


def test_a_declared_answer_is_no_failure():
    """`answers` on the threaded class works as on ours."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(_watched())
            ref = system.ref("/s/g/w")
            with pytest.raises(DeclinedError):
                await ref.ask(DeclinedError())
            assert await ref.ask(lambda it: it.log) == ["start"]
            with pytest.raises(ActorCrashed):
                await ref.proxy().double(-1)

    run(main, real_time=True)


def test_a_failing_start_is_a_failure_like_any_other():
    """It is tried again, and `on_failure` runs in the thread."""

    class Refuses(Worker):
        tries = 0

        def on_start(self) -> None:
            super().on_start()
            type(self).tries = Refuses.tries = Refuses.tries + 1
            if Refuses.tries < 3:
                raise OSError

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("w", Refuses, (log,)),), backoff=NOW))
            failed = ["start", ("failure", "OSError", True)]
            assert log == [*failed, *failed, "start"]

    run(main, real_time=True)


def test_its_mailbox_is_bounded_by_ours():
    """One message in the thread, three in the mailbox, the next one is refused."""

    async def main() -> None:
        gate = Gate()
        async with open_system("s") as system:
            await system.start(Child("w", Worker))
            ref = system.ref("/s/w")
            ref.tell(gate)
            await gate.entered()
            for number in range(3):
                ref.tell(number)
            with pytest.raises(MailboxFull):
                ref.tell(3)
            gate.go.set()
            await ref.send(4)
            await ref.stop()
            assert system.snapshot().children[0].handled == 5

    run(main, real_time=True)


def test_stopping_itself_is_a_normal_exit():
    """`self.stop()` in a handler: after what is queued, `on_stop`, and a permanent child is started anew."""

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            await system.start(_watched(log))
            ref = system.ref("/s/g/w")
            await _until(system, EventKind.STARTED, lambda: ref.tell(lambda it: it.stop()))
            assert log == ["start", "stop", "start"]
            await system.start(Child("t", Worker, (log,), restart=Restart.TRANSIENT))
            transient = system.ref("/s/t")
            transient.tell(lambda it: it.stop())
            assert (await transient.wait_terminated()).state is ActorState.STOPPED

    run(main, real_time=True)


def test_what_is_its_own_in_pykka_is_the_places():
    """Its name, ref, inbox and stop event, in `__init__` already; it is in no registry."""

    class Looks(Worker):
        def __init__(self) -> None:
            super().__init__()
            self.seen = (self.actor_urn, self.actor_ref, self.actor_stopped.is_set(), str(self))

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("w", Looks))
            ref = system.ref("/s/w")
            assert await ref.ask(lambda it: it.seen) == ("/s/w", ref, False, "Looks (/s/w)")
            assert await ref.ask(lambda it: it.actor_inbox) is ref.actor_inbox
            assert pykka.ActorRegistry.get_all() == []

    run(main, real_time=True)


def test_from_its_thread_it_asks_others_and_blocks():
    """Refs mean in it what they mean in any thread, `Actor.start` included."""

    class Echo(Actor):
        async def on_receive(self, message: Any) -> Any:
            return ("echo", message)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("echo", Echo), Child("w", Worker))
            echo, ref = system.ref("/s/echo"), system.ref("/s/w")
            assert await ref.ask(lambda _: echo.ask(1, timeout=PATIENCE_S)) == ("echo", 1)
            assert await ref.ask(lambda _: Echo.start().ask(2, timeout=PATIENCE_S)) == ("echo", 2)

    run(main, real_time=True)


def test_the_end_of_a_program_in_its_thread_ends_the_system():
    """SystemExit is no failure of the actor; it comes out of `open_system`, and the others are stopped in order."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("other", Worker, (log,)), Child("w", Worker))
            system.ref("/s/w").tell(SystemExit(3))
            await trio.sleep_forever()

    log: list[Any] = []
    with pytest.raises(SystemExit):
        run(main, real_time=True)
    assert log == ["start", "stop"]


def test_context_variables_reach_the_thread_with_the_message():
    """In a system that carries them."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")

    async def main() -> None:
        async with open_system("s", trace_context=True) as system:
            await system.start(Child("w", Worker))
            request.set("r-1")
            assert await system.ref("/s/w").ask(lambda _: request.get()) == "r-1"
            request.set("r-2")
            assert await system.ref("/s/w").ask(lambda _: request.get()) == "r-2"

    run(main, real_time=True)


# --- threads that do not come back ---------------------------------------------------------------------------------------


def test_a_stop_that_takes_too_long_abandons_the_thread():
    """The stop is over within its bound; the thread is counted until it ends by itself, and told to subscribers."""

    async def main() -> None:
        gate = Gate()
        async with open_system("s") as system:
            await system.start(_watched())
            ref = system.ref("/s/g/w")
            stopped = await ref.ask(lambda it: it.actor_stopped)
            ref.tell(gate)
            await gate.entered()
            with trio.fail_after(PATIENCE_S):
                await _until(system, EventKind.ABANDONED, lambda: system.stop_actor("/s/g/w"))
            assert stopped.is_set()
            shown = system.snapshot().children[0].children[0]
            assert (shown.state, shown.abandoned_threads) == ("stopped", 1)
            assert system.statistics().threads_abandoned == 1
            gate.go.set()
            await gate.left()
            await trio.testing.wait_all_threads_completed()
            await trio.lowlevel.checkpoint()
            assert system.snapshot().children[0].children[0].abandoned_threads == 0

    run(main, real_time=True)


def test_a_kill_abandons_the_thread_and_a_new_one_takes_over():
    """The successor works while the old thread is still stuck; what the old one makes of its message goes nowhere."""

    async def main() -> None:
        gate = Gate()
        async with open_system("s") as system:
            await system.start(_watched())
            ref = system.ref("/s/g/w")
            asked = ref.ask(gate)
            await gate.entered()
            await _until(system, EventKind.STARTED, lambda: system.kill_actor("/s/g/w"))
            with pytest.raises(ActorCrashed):
                await asked
            assert await ref.ask(1) == 1
            assert system.snapshot().children[0].children[0].abandoned_threads == 1
            gate.go.set()
            await gate.left()
            assert await ref.ask(2) == 2

    run(main, real_time=True)


def test_the_end_of_the_system_does_not_wait_for_a_stuck_thread():
    """Within the child's bound, not the thread's."""
    gate = Gate()

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(_watched())
            system.ref("/s/g/w").tell(gate)
            await gate.entered()

    run(main, real_time=True)
    assert not gate.out.is_set()
    gate.go.set()
    assert gate.out.wait(PATIENCE_S)


def test_too_many_stuck_threads_of_one_place_are_a_failure_to_start(monkeypatch):
    """Or a place that gets stuck again and again would fill the process with threads."""
    monkeypatch.setattr(actors.runtime.threads, "ABANDONED_THREADS_MAX", 2)

    async def main() -> None:
        gates = [Gate(), Gate()]
        async with open_system("s") as system:
            spec = SupervisorSpec(
                "g",
                (Child("w", Worker, stop_timeout_s=0.05),),
                intensity=Intensity(max=2, within_s=60.0),
                backoff=NOW,
                restart=Restart.TEMPORARY,
            )
            await system.start(spec)
            ref = system.ref("/s/g/w")
            for gate in gates:
                ref.tell(gate)
                await gate.entered()
                system.kill_actor("/s/g/w")
            ended = await system.ref("/s/g").wait_terminated()
            assert ended.failure is not None
            assert ended.failure.type == "Escalated from ThreadsStuck"
            for gate in gates:
                gate.go.set()
                await gate.left()

    run(main, real_time=True)


# --- the fence -------------------------------------------------------------------------------------------------------------


class Ledger(pykka.ThreadingActor):
    """Owns a connection to a database; `stuck` wakes late and tries to commit through it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_start(self) -> None:
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.execute("create table if not exists rows (who text)")

    def on_receive(self, message: Any) -> Any:
        return message(self)

    def on_stop(self) -> None:
        self.connection.close()

    def insert(self, who: str) -> None:
        with current_fence().hold():
            self.connection.execute("insert into rows values (?)", (who,))


class LateInsert(Gate):
    """Wakes after the successor has started, and goes on with what it was doing."""

    def __call__(self, ledger: Any) -> None:
        self.ledger = ledger
        super().__call__(ledger)

    def afterwards(self) -> None:
        try:
            self.ledger.insert("old")
        finally:
            self.ledger.connection.close()


def _rows(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [who for (who,) in connection.execute("select who from rows order by rowid")]
    finally:
        connection.close()


def test_an_old_thread_that_wakes_late_cannot_commit(tmp_path):
    """The successor has its own connection; the old one is fenced off, and says so."""

    async def main() -> None:
        late = LateInsert()
        path = tmp_path / "ledger.db"
        async with open_system("s") as system:
            spec = SupervisorSpec("g", (Child("ledger", Ledger, (path,), stop_timeout_s=0.05),), backoff=NOW)
            await system.start(spec)
            ref = system.ref("/s/g/ledger")
            ref.tell(late)
            await late.entered()
            await _until(system, EventKind.STARTED, lambda: system.restart("/s/g/ledger"))
            await ref.ask(lambda it: it.insert("new"))
            late.go.set()
            await late.left()
            assert isinstance(late.caught, Fenced)
            assert _rows(path) == ["new"]

    run(main, real_time=True)


class LateCommit(Gate):
    """Is stuck inside `hold`, and commits when it wakes."""

    def __call__(self, ledger: Any) -> None:
        with current_fence().hold():
            self.ledger = ledger
            super().__call__(ledger)

    def afterwards(self) -> None:
        self.ledger.connection.execute("insert into rows values ('old')")
        self.ledger.connection.close()


def test_a_successor_starts_only_when_the_old_thread_has_let_go(tmp_path):
    """What is done under `hold` comes before everything that the successor does."""

    async def main() -> None:
        late = LateCommit()
        path = tmp_path / "ledger.db"
        async with open_system("s") as system:
            spec = SupervisorSpec("g", (Child("ledger", Ledger, (path,), stop_timeout_s=0.05),), backoff=NOW)
            await system.start(spec)
            ref = system.ref("/s/g/ledger")
            ref.tell(late)
            await late.entered()
            await _until(system, EventKind.ABANDONED, lambda: system.kill_actor("/s/g/ledger"))
            ref.tell(lambda it: it.insert("new"))
            await trio.testing.wait_all_tasks_blocked()
            assert system.snapshot().children[0].children[0].state == "starting"
            late.go.set()
            await ref.ask(lambda it: it.insert("newer"))
            assert _rows(path) == ["old", "new", "newer"]

    run(main, real_time=True)


def test_a_successor_that_waits_too_long_fails_and_is_tried_again(tmp_path, monkeypatch):
    """Never beside a holder: its start fails, as any start may, until the holder has let go."""
    monkeypatch.setattr(actors.runtime.fence, "HOLD_WAIT_S", 0.01)

    async def main() -> None:
        late = LateCommit()
        async with open_system("s") as system:
            child = Child("ledger", Ledger, (tmp_path / "ledger.db",), stop_timeout_s=0.05)
            await system.start(SupervisorSpec("g", (child,), intensity=Intensity(max=1000, within_s=1.0), backoff=NOW))
            ref = system.ref("/s/g/ledger")
            ref.tell(late)
            await late.entered()
            system.kill_actor("/s/g/ledger")
            with system.subscribe() as events:
                async for event in events:
                    if event.kind is EventKind.FAILED and event.error == FenceHeld.__name__:
                        break
            late.go.set()
            await ref.ask(lambda it: it.insert("new"))
            assert _rows(tmp_path / "ledger.db") == ["old", "new"]

    run(main, real_time=True)


def test_a_fence_survives_its_place(tmp_path):
    """A dynamic child is given up with its thread stuck; the next child of the same key is fenced against it all the same."""

    async def main() -> None:
        late = LateInsert()
        path = tmp_path / "ledger.db"
        async with open_system("s") as system:
            child = Child("x", Ledger, (path,), restart=Restart.TEMPORARY, stop_timeout_s=0.05)
            await system.start(DynamicSpec("d", lambda _: child, backoff=NOW))
            keyed = system.dynamic("/s/d")
            old = keyed.ref("k")
            old.tell(late)
            await late.entered()
            system.kill_actor("/s/d/k")
            await old.wait_terminated()
            with pytest.raises(ActorDead):
                old.tell(1)
            await keyed.ref("k").ask(lambda it: it.insert("new"))
            assert system.snapshot().children[0].children[0].abandoned_threads == 1
            late.go.set()
            await late.left()
            assert isinstance(late.caught, Fenced)
            assert _rows(path) == ["new"]

    run(main, real_time=True)


def test_an_actor_on_the_loop_fences_its_worker_threads():
    """`context.fence` is handed to the thread; it is good until the incarnation has ended, after a clean stop as well."""

    class Owner(Actor):
        async def on_receive(self, message: Any) -> Any:
            return self.context.fence

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("o", Owner))
            ref = system.ref("/s/o")
            token = await ref.ask(None)
            assert await ref.ask(None) is token
            token.check()
            with token.hold():
                pass
            await ref.stop()
            assert token.revoked
            with pytest.raises(Fenced, match="incarnation 1 of /s/o has ended"):
                token.check()
            with pytest.raises(Fenced), token.hold():
                pass
            with pytest.raises(RuntimeError, match="no thread of an actor"):
                current_fence()

    run(main)
