"""Operations on one place: restart, stop, kill; always by its supervisor, and refused where that cannot do it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio_run import run

from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    Backoff,
    Child,
    DynamicSpec,
    Intensity,
    NotAllowed,
    Reason,
    Restart,
    Strategy,
    SupervisorSpec,
    System,
    UnknownPath,
    open_system,
)

NEVER = Intensity(max=0, within_s=1000.0)


async def _settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def _state(system: System, path: str) -> str:
    return system.cell(path).state.value


class Sleeps(Actor):
    """Sleeps as long as it is told; shields its sleep under a negative number."""

    async def on_receive(self, message: Any) -> None:
        with trio.CancelScope(shield=message < 0):
            await trio.sleep(abs(message))


def test_restart_stops_in_good_order_and_starts_anew(recorder):
    """`on_stop`, then `on_start`; siblings are left alone whatever the strategy; nothing is counted."""

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            children = (Child("a", recorder, (log,)), Child("b", recorder, (log,)))
            await system.start(SupervisorSpec("g", children, Strategy.ONE_FOR_ALL, NEVER))
            ref = system.ref("/s/g/a")
            await system.restart("/s/g/a")
            await ref.ask("after")
            assert log == [
                ("start", "a"),
                ("start", "b"),
                ("stop", "a"),
                ("start", "a"),
                ("message", "after"),
            ]
            shown = system.snapshot().children[0].children[0]
            assert (shown.incarnation, shown.restarts.count, shown.failed) == (2, 0, 0)
            assert len(system.crashes) == 0

    run(main)


def test_restart_is_bounded_by_the_childs_stop_timeout():
    """One that does not come to its end is killed; what was queued behind it is handled by the next incarnation."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", Sleeps, stop_timeout_s=2.0),)))
            asked = system.ref("/s/g/a").ask(1000.0)
            queued = system.ref("/s/g/a").ask(0.0)
            await _settle()
            began = trio.current_time()
            await system.restart("/s/g/a")
            assert trio.current_time() - began == 2.0
            assert _state(system, "/s/g/a") == "running"
            with pytest.raises(ActorCrashed):
                await asked
            assert await queued is None

    run(main)


def test_restart_ends_the_wait_for_a_backoff_and_begins_its_row_anew(recorder):
    """The operator need not wait, and the next failure waits as the first one does."""

    async def main() -> None:
        async with open_system("s", seed=3) as system:
            backoff = Backoff(base_s=1000.0, cap_s=1e9)
            await system.start(SupervisorSpec("g", (Child("a", recorder, ([],)),), backoff=backoff))
            ref, cell = system.ref("/s/g/a"), system.cell("/s/g/a")
            for _ in range(3):
                ref.tell(ValueError())
                await _settle()
                assert _state(system, "/s/g/a") == "backoff"
                await system.restart("/s/g/a")
                assert _state(system, "/s/g/a") == "running"
            assert cell.attempts == 0
            ref.tell(ValueError())
            await _settle()
            assert cell.attempts == 1
            with trio.move_on_after(1e6):
                await trio.sleep_forever()
            assert cell.incarnation == 5

    run(main)


@pytest.mark.parametrize("how", ["stop", "fail"])
def test_restart_opens_a_place_again_that_has_ended_for_good(recorder, how):
    """Stopped by somebody, or failed and temporary: its ref works again, and what watched it can watch it again."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", recorder, ([],), restart=Restart.TEMPORARY),)))
            ref = system.ref("/s/g/a")
            stopped = ref.actor_stopped
            if how == "stop":
                await ref.stop()
            else:
                ref.tell(ValueError())
                await ref.wait_terminated()
            assert stopped.is_set()
            with pytest.raises(ActorDead):
                ref.tell(1)
            await system.restart("/s/g/a")
            assert await ref.ask(2) == 2
            assert (stopped.is_set(), ref.is_alive()) == (False, True)
            assert await ref.stop()
            assert (await ref.wait_terminated()).path == "/s/g/a"

    run(main)


def test_restart_of_a_supervisor_brings_back_what_is_below_it(recorder):
    """Running, and stopped for good, with its children."""

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            inner = SupervisorSpec("inner", (Child("a", recorder, (log,)), Child("b", recorder, (log,))))
            await system.start(SupervisorSpec("g", (inner,)))
            order = [("start", "a"), ("start", "b"), ("stop", "b"), ("stop", "a")]
            await system.restart("/s/g/inner")
            assert log == [*order, *order[:2]]
            await system.stop_actor("/s/g/inner")
            assert [_state(system, f"/s/g/inner/{name}") for name in "ab"] == ["stopped", "stopped"]
            await system.restart("/s/g/inner")
            assert log == [*order, *order, *order[:2]]
            assert await system.ref("/s/g/inner/a").ask(1) == 1

    run(main)


def test_a_restart_that_fails_is_the_supervisors_to_decide(recorder):
    """`restart` returns when the new incarnation is up or has failed; then it is a failure as any other."""

    class FailsLater(Actor):
        made = 0

        async def on_start(self) -> None:
            FailsLater.made += 1
            if FailsLater.made == 2:
                raise OSError

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", FailsLater),), backoff=Backoff(base_s=50.0)))
            await system.restart("/s/g/a")
            assert _state(system, "/s/g/a") == "backoff"
            await trio.sleep(60.0)
            assert (_state(system, "/s/g/a"), FailsLater.made) == ("running", 3)

    run(main)


def test_an_operation_comes_to_its_end_without_the_one_who_asked():
    """The caller is cancelled in the middle: the place is not left half-way."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", Sleeps, stop_timeout_s=5.0),)))
            system.ref("/s/g/a").tell(1000.0)
            await _settle()
            with trio.move_on_after(1.0):
                await system.restart("/s/g/a")
            with pytest.raises(NotAllowed, match="already"):
                await system.stop_actor("/s/g/a")
            await trio.sleep(10.0)
            cell = system.cell("/s/g/a")
            assert (cell.state.value, cell.incarnation) == ("running", 2)

    run(main)


def test_stop_is_for_good_and_kills_over_the_bound(recorder):
    """Queued tells become dead letters; a second stop has nothing to do; a dynamic child leaves the tree."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(
                SupervisorSpec("g", (Child("a", Sleeps, stop_timeout_s=2.0),)),
                DynamicSpec("d", lambda k: Child(k, Sleeps)),
            )
            ref = system.ref("/s/g/a")
            ref.tell(1000.0)
            ref.tell(1.0)
            await _settle()
            await system.stop_actor("/s/g/a")
            assert (_state(system, "/s/g/a"), trio.current_time()) == ("stopped", 2.0)
            assert {reason: count for reason, count in system.dead_letters.counts.items() if count} == {
                Reason.CRASHED: 1,
                Reason.DEAD: 1,
            }
            await system.stop_actor("/s/g/a")
            system.dynamic("/s/d").ref("k")
            await system.stop_actor("/s/d/k")
            with pytest.raises(UnknownPath):
                await system.stop_actor("/s/d/k")

    run(main)


def test_kill_cuts_short_and_counts_as_a_failure(recorder):
    """No hook runs; the supervisor restarts it with backoff, within its intensity; the crash says Killed."""

    async def main() -> None:
        log: list[Any] = []
        async with open_system("s") as system:
            once = Intensity(max=1, within_s=1000.0)
            spec = SupervisorSpec("g", (Child("a", recorder, (log,)),), intensity=once, backoff=Backoff(base_s=0.0))
            await system.start(SupervisorSpec("top", (spec,), backoff=Backoff(base_s=0.0)))
            for _ in range(2):
                system.kill_actor("/s/top/g/a")
                await _settle()
            assert log == [("start", "a")] * 3
            told = [(crash.path, crash.failure.type, crash.decision) for crash in system.crashes]
            assert told == [
                ("/s/top/g/a", "Killed", "restart"),
                ("/s/top/g/a", "Killed", "escalate"),
                ("/s/top/g", "Escalated from Killed", "restart"),
            ]

    run(main)


def test_a_killed_supervisor_is_restarted_with_its_children(recorder):
    """They are cancelled with it, which is no failure of theirs."""

    async def main() -> None:
        async with open_system("s") as system:
            inner = SupervisorSpec("inner", tuple(Child(n, recorder, ([],)) for n in "abc"), intensity=NEVER)
            await system.start(SupervisorSpec("g", (inner,), backoff=Backoff(base_s=0.0)))
            system.kill_actor("/s/g/inner")
            await _settle()
            assert [crash.path for crash in system.crashes] == ["/s/g/inner"]
            shown = system.snapshot().children[0].children[0]
            assert [(child.state, child.incarnation, child.failed) for child in shown.children] == [
                ("running", 2, 0)
            ] * 3

    run(main)


def test_a_temporary_child_that_is_killed_has_failed(recorder):
    """It is not restarted, and its watchers are told why."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", recorder, ([],), restart=Restart.TEMPORARY))
            system.kill_actor("/s/a")
            ended = await system.ref("/s/a").wait_terminated()
            assert (ended.state.value, ended.failure.type) == ("failed", "Killed")
            with pytest.raises(NotAllowed, match="does not run"):
                system.kill_actor("/s/a")

    run(main)


def test_what_cannot_be_done_is_refused_with_a_reason(recorder):
    """No such path; the root; a supervisor that does not run, that regroups, that ends meanwhile; a child that cannot be ended."""

    async def main() -> None:
        async with open_system("s") as system:
            group = SupervisorSpec(
                "g", (Child("a", recorder, ([],)),), Strategy.ONE_FOR_ALL, backoff=Backoff(base_s=1e6, cap_s=1e6)
            )
            hard = SupervisorSpec("h", (Child("a", Sleeps, stop_timeout_s=1.0),))
            gone = SupervisorSpec("x", (Child("a", recorder, ([],)),), restart=Restart.TEMPORARY)
            await system.start(group, hard, gone)
            for operation in (system.restart, system.stop_actor):
                with pytest.raises(UnknownPath):
                    await operation("/s/nobody")
                with pytest.raises(NotAllowed, match="the root is the system itself"):
                    await operation("/s")
            with pytest.raises(UnknownPath):
                system.kill_actor("/s/nobody")
            await system.stop_actor("/s/x")
            with pytest.raises(NotAllowed) as refused:
                await system.restart("/s/x/a")
            assert refused.value.reason == "its supervisor /s/x does not run"
            system.ref("/s/g/a").tell(ValueError())
            await _settle()
            with pytest.raises(NotAllowed, match="restarts a group"):
                await system.restart("/s/g/a")
            system.ref("/s/h/a").tell(-100.0)
            await _settle()
            with pytest.raises(NotAllowed, match="shields itself"):
                await system.restart("/s/h/a")

    run(main)


def test_an_operation_ends_with_its_supervisor(recorder):
    """The supervisor is killed, or stopped, while it stops the child."""

    async def main() -> None:
        async with open_system("s") as system:
            specs = [SupervisorSpec(name, (Child("a", Sleeps, stop_timeout_s=50.0),)) for name in ("g", "h")]
            await system.start(*specs)
            refused: list[str] = []

            async def restart(path: str) -> None:
                with pytest.raises(NotAllowed) as caught:
                    await system.restart(path)
                refused.append(caught.value.reason)

            async with trio.open_nursery() as nursery:
                for name in ("g", "h"):
                    system.ref(f"/s/{name}/a").tell(10.0)
                    await _settle()
                    nursery.start_soon(restart, f"/s/{name}/a")
                await _settle()
                system.kill_actor("/s/g")
                await system.stop_actor("/s/h")
            assert sorted(refused) == ["its supervisor /s/g ended meanwhile", "its supervisor /s/h ended meanwhile"]

    run(main)


def test_what_was_spawned_without_a_supervision_tree_leaves_it_however_it_ends():
    """By an operation as well as by itself."""

    async def main() -> None:
        async with open_system("s") as system:
            refs = [system.spawn(Sleeps) for _ in range(2)]
            await _settle()
            await system.stop_actor(refs[0].path)
            system.kill_actor(refs[1].path)
            await refs[1].wait_terminated()
            await _settle()
            assert system.snapshot().children == ()

    run(main)
