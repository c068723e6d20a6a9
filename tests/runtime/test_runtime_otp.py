"""Supervision, case by case as OTP's own suite has it (erlang/otp, lib/stdlib/test/supervisor_SUITE.erl), on the virtual clock.

The names are OTP's; what a case shows is written anew for this runtime. Where the two differ it is said in the test.

| OTP's case                                                 | here                                                     |
|------------------------------------------------------------|----------------------------------------------------------|
| sup_start_normal, sup_start_fail, sup_start_map            | the same names                                           |
| sup_stop_infinity, sup_stop_timeout, sup_stop_brutal_kill  | the same names                                           |
| child_adm, child_adm_simple, count_children                | the same names (`ref.stop`, `Dynamic`, `snapshot`)       |
| child_specs                                                | the same name: names only, the rest is the type checker's |
| permanent_, transient_, temporary_ x normal, abnormal      | test_termination                                         |
| permanent_, transient_, temporary_ x shutdown              | test_termination, as a stop from outside: OTP's          |
|                                                            | `terminate_child`, after which nobody is restarted       |
| temporary_bystander                                        | the same name, both strategies                           |
| multiple_restarts                                          | the same name                                            |
| one_for_one, one_for_all, rest_for_one                     | test_one_for_one_one_for_all_rest_for_one                |
| one_for_one_escalation, one_for_all_, rest_for_one_        | test_escalation                                          |
| one_for_all_other_child_fails_restart, rest_for_one_       | the same names                                           |
| simple_one_for_one, _shutdown, _escalation                 | the same names; each child has an intensity of its own   |
| tree                                                       | the same name, and test_nested_intensities               |
| hanging_restart_loop, hanging_restart_loop_simple          | test_hanging_restart_loop                                |
| do_not_save_child_specs_for_temporary_children,            | test_temporary_children_leave_nothing_behind:            |
| simple_one_for_one_scale_many_temporary_children           | as a count of what is left, not of memory or time        |

Missing here, and why: sup_start_ignore_* (an actor cannot decline to start), sup_start_error_return, extra_return and
simple_one_for_one_extra (`on_start` returns nothing), sup_flags (specs are checked by the type checker), child_unlink and
simple_global_supervisor (no links, no nodes), code_change* (no code is changed while it runs), faulty_application_shutdown (no
applications), delete_child (a place stays in the tree), and the newer cases of `significant` children with `auto_shutdown` (not
offered). One more difference: after one_for_all or rest_for_one OTP also starts a transient child that had ended normally before; here
what ended for good stays so. Backoff, which OTP does not have, is in test_runtime_backoff.py; the strategies against a model, with
everything mixed, in test_runtime_model.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio_run import run

from actors.runtime import (
    Actor,
    ActorDead,
    ActorSnapshot,
    Backoff,
    Child,
    DynamicSpec,
    Intensity,
    Restart,
    StartFailed,
    Strategy,
    SupervisorSpec,
    System,
    open_system,
)

AT_ONCE = Backoff(base_s=0.0)
TWO_AN_HOUR = Intensity(max=2, within_s=3600.0)
FOUR_AN_HOUR = Intensity(max=4, within_s=3600.0)

TICK_S = 1 / 1024
"""For things to settle; a power of two, so that sums of times stay exact."""

Log = list[tuple[str, str]]


class Worker(Actor):
    """Logs its life as (what, name). `broken` says how many of its coming starts fail; "fail" and "end" end it."""

    def __init__(self, log: Log, broken: dict[str, int] | None = None) -> None:
        self.log = log
        self.broken = broken if broken is not None else {}
        self.name = self.context.path.rpartition("/")[2]

    async def on_start(self) -> None:
        if self.broken.get(self.name, 0) > 0:
            self.broken[self.name] -= 1
            raise OSError
        self.log.append(("start", self.name))

    async def on_receive(self, message: Any) -> Any:
        if message == "fail":
            raise ValueError
        if message == "end":
            self.stop()
        elif isinstance(message, float):
            await trio.sleep(message)
        return self.context.incarnation

    async def on_stop(self) -> None:
        self.log.append(("stop", self.name))

    async def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.log.append(("failure", self.name))


def supervisor(strategy: Strategy, *children: Child, intensity: Intensity = TWO_AN_HOUR, **more: Any) -> SupervisorSpec:
    """The supervisor `sup`, which restarts at once."""
    return SupervisorSpec("sup", children, strategy, intensity, AT_ONCE, **more)


def workers(log: Log, names: str, broken: dict[str, int] | None = None) -> tuple[Child, ...]:
    return tuple(Child(name, Worker, (log, broken)) for name in names)


def tree(system: System) -> dict[str, ActorSnapshot]:
    """Every place by its path."""
    found: dict[str, ActorSnapshot] = {}

    def walk(node: ActorSnapshot) -> None:
        found[node.path] = node
        for child in node.children:
            walk(child)

    walk(system.snapshot())
    return found


async def end(system: System, path: str, how: Any = "fail") -> None:
    """Let the actor at `path` end by `how`, and everything settle."""
    system.ref(path).tell(how)
    await trio.sleep(TICK_S)


# --- start ----------------------------------------------------------------------------------------------------------------


def test_sup_start_normal() -> None:
    """A supervisor without children starts, and ends in good order."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(supervisor(Strategy.ONE_FOR_ONE))
            assert tree(system)["/s/sup"].state == "running"
            assert await system.ref("/s/sup").stop()
            assert tree(system)["/s/sup"].state == "stopped"

    run(main)


def test_sup_start_fail() -> None:
    """A child that cannot start: the caller is told with the cause, what was up is stopped (OTP does not try again)."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            children = workers(log, "ab", {"b": 1})
            with pytest.raises(StartFailed) as failed:
                await system.start(supervisor(Strategy.ONE_FOR_ONE, *children, intensity=Intensity(0, 1.0)))
            assert isinstance(failed.value.__cause__, OSError)
            await trio.sleep(TICK_S)
            assert not system.ref("/s/sup/a").is_alive()

    run(main)
    assert log == [("start", "a"), ("failure", "b"), ("stop", "a")]


def test_sup_start_map() -> None:
    """The defaults of a child: permanent, five seconds to stop; a supervisor is waited for without a bound of its own."""
    child = Child("a", Worker)
    assert (child.restart, child.stop_timeout_s) == (Restart.PERMANENT, 5.0)
    spec = SupervisorSpec("sup", (child,))
    assert (spec.strategy, spec.restart) == (Strategy.ONE_FOR_ONE, Restart.PERMANENT)


def test_child_specs() -> None:
    """Two of one name, one that is taken, and one that is no step of a path are refused, and a refusal leaves nothing behind."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            with pytest.raises(ValueError, match="exists already"):
                await system.start(supervisor(Strategy.ONE_FOR_ONE, *workers(log, "aa")))
            with pytest.raises(ValueError, match="one step of a path"):
                await system.start(Child("b", Worker, (log,)), Child("a/b", Worker, (log,)))
            assert system.snapshot().children == ()
            assert not system.ref("/s/sup/a").is_alive()
            await system.start(supervisor(Strategy.ONE_FOR_ONE, *workers(log, "a")))
            with pytest.raises(ValueError, match="/s/sup exists already"):
                await system.start(Child("b", Worker, (log,)), Child("sup", Worker, (log,)))
            assert list(tree(system)) == ["/s", "/s/sup", "/s/sup/a"]

    run(main)
    assert log == [("start", "a"), ("stop", "a")]


# --- stop -----------------------------------------------------------------------------------------------------------------


def test_sup_stop_infinity() -> None:
    """A child without a bound is waited for, however long it takes; the others after it."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            children = (Child("a", Worker, (log,)), Child("b", Worker, (log,), stop_timeout_s=float("inf")))
            await system.start(supervisor(Strategy.ONE_FOR_ONE, *children))
            await end(system, "/s/sup/b", 100_000.0)
            before = trio.current_time()
            await system.ref("/s/sup").stop()
            assert trio.current_time() - before == 100_000.0 - TICK_S

    run(main)
    assert log == [("start", "a"), ("start", "b"), ("stop", "b"), ("stop", "a")]


def test_sup_stop_timeout() -> None:
    """A child that takes longer than its bound is killed when the bound is over, to the tick; the one before it stops as it should."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            children = tuple(Child(name, Worker, (log,), stop_timeout_s=1.0) for name in "ab")
            await system.start(supervisor(Strategy.ONE_FOR_ONE, *children))
            await end(system, "/s/sup/b", 200_000.0)
            before = trio.current_time()
            await system.ref("/s/sup").stop()
            assert trio.current_time() - before == 1.0

    run(main)
    assert log == [("start", "a"), ("start", "b"), ("stop", "a")]


def test_sup_stop_brutal_kill() -> None:
    """A bound of zero: a child in the middle of a message is killed at once (an idle one may still run `on_stop` to its first wait)."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            children = (Child("a", Worker, (log,)), Child("b", Worker, (log,), stop_timeout_s=0.0))
            await system.start(supervisor(Strategy.ONE_FOR_ONE, *children))
            await end(system, "/s/sup/b", 200_000.0)
            before = trio.current_time()
            await system.ref("/s/sup").stop()
            assert trio.current_time() == before

    run(main)
    assert log == [("start", "a"), ("start", "b"), ("stop", "a")]


# --- children one by one -----------------------------------------------------------------------------------------------------


def test_child_adm() -> None:
    """One child is stopped: it keeps its place, its siblings run on, a second stop does nothing, and nobody brings it back."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(supervisor(Strategy.ONE_FOR_ALL, *workers(log, "ab")))
            assert await system.ref("/s/sup/a").stop() is True
            assert await system.ref("/s/sup/a").stop() is False
            states = {path: node.state for path, node in tree(system).items()}
            assert states == {"/s": "running", "/s/sup": "running", "/s/sup/a": "stopped", "/s/sup/b": "running"}
            with pytest.raises(ActorDead):
                system.ref("/s/sup/a").tell("x")
            with pytest.raises(ValueError, match="begin with /s/"):
                system.ref("/elsewhere")

    run(main)
    assert log == [("start", "a"), ("start", "b"), ("stop", "a"), ("stop", "b")]


def by_key(log: Log, restart: Restart = Restart.PERMANENT, **more: Any) -> DynamicSpec:
    """The dynamic supervisor `sup` of workers."""
    stop_timeout_s = more.pop("stop_timeout_s", 5.0)
    broken = more.pop("broken", None)

    def make(key: str) -> Child:
        return Child(key, Worker, (log, broken), restart=restart, stop_timeout_s=stop_timeout_s)

    return DynamicSpec("sup", make, backoff=AT_ONCE, **more)


def test_child_adm_simple() -> None:
    """Children by key: none at first, started by their use, one stopped leaves the tree, and its next use starts it afresh."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(by_key(log))
            children = system.dynamic("/s/sup")
            assert children.keys() == ()
            first = children.ref("a")
            assert await children.ref("b").ask("x") == 1
            assert children.keys() == ("a", "b")
            assert await first.stop()
            assert children.keys() == ("b",)
            assert children.get("a") is None
            assert not first.is_alive()
            assert await children.ref("a").ask("x") == 1

    run(main)


def test_count_children() -> None:
    """A thousand children are counted, another thousand too, and none is left when all are killed."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(by_key(log, Restart.TEMPORARY))
            children = system.dynamic("/s/sup")
            for count in (1000, 2000):
                for number in range(count - 1000, count):
                    children.ref(str(number))
                assert (len(children), len(system.snapshot().children[0].children)) == (count, count)
            await trio.sleep(TICK_S)
            for key in children.keys():  # noqa: SIM118 - no dict: the keys at this moment
                children.ref(key).kill()
            await trio.sleep(TICK_S)
            assert len(children) == 0
            assert system.statistics().places == 2

    run(main)


# --- who comes back ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "how", "state_after"),
    [
        # *_normal: it ends by its own will
        (Restart.PERMANENT, "end", "running"),
        (Restart.TRANSIENT, "end", "stopped"),
        (Restart.TEMPORARY, "end", "stopped"),
        # *_abnormal: it fails
        (Restart.PERMANENT, "fail", "running"),
        (Restart.TRANSIENT, "fail", "running"),
        (Restart.TEMPORARY, "fail", "failed"),
        # *_shutdown: it is stopped from outside
        (Restart.PERMANENT, "stop", "stopped"),
        (Restart.TRANSIENT, "stop", "stopped"),
        (Restart.TEMPORARY, "stop", "stopped"),
    ],
)
def test_termination(restart: Restart, how: str, state_after: str) -> None:
    """What becomes of a child of each restart type after each way to end."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(supervisor(Strategy.ONE_FOR_ONE, Child("a", Worker, (log,), restart=restart)))
            if how == "stop":
                await system.ref("/s/sup/a").stop()
            else:
                await end(system, "/s/sup/a", how)
            child = tree(system)["/s/sup/a"]
            assert (child.state, child.incarnation) == (state_after, 2 if state_after == "running" else 1)

    run(main)


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_temporary_bystander(strategy: Strategy) -> None:
    """A temporary child that is stopped because of another's failure does not come back, and does not count against the intensity."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            bystander = Child("b", Worker, (log,), restart=Restart.TEMPORARY)
            await system.start(supervisor(strategy, *workers(log, "a"), bystander))
            await end(system, "/s/sup/a")
            states = {path: node.state for path, node in tree(system).items()}
            assert (states["/s/sup"], states["/s/sup/a"], states["/s/sup/b"]) == ("running", "running", "stopped")

    run(main)
    assert log[2:5] == [("failure", "a"), ("stop", "b"), ("start", "a")]


def test_multiple_restarts() -> None:
    """One restart a second is allowed: four failures two seconds apart are four restarts."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            spec = supervisor(Strategy.ONE_FOR_ONE, *workers(log, "a"), intensity=Intensity(max=1, within_s=1.0))
            await system.start(spec)
            for _ in range(4):
                await end(system, "/s/sup/a")
                await trio.sleep(2.1)
            assert tree(system)["/s/sup/a"].incarnation == 5

    run(main)


# --- strategies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "first", "second"),
    [
        # what a failure of b does, then one of c
        (Strategy.ONE_FOR_ONE, "-b +b", "-c +c"),
        (Strategy.ONE_FOR_ALL, "-b .c .a +a +b +c", "-c .b .a +a +b +c"),
        (Strategy.REST_FOR_ONE, "-b .c +b +c", "-c +c"),
    ],
    ids=["one_for_one", "one_for_all", "rest_for_one"],
)
def test_one_for_one_one_for_all_rest_for_one(strategy: Strategy, first: str, second: str) -> None:
    """Who is stopped and started, in order, at each of two failures; the third within the hour is one too many."""
    log: Log = []
    signs = {"start": "+", "stop": ".", "failure": "-"}

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(supervisor(strategy, *workers(log, "abc"), restart=Restart.TEMPORARY))
            for failing, expected in (("b", first), ("c", second)):
                log.clear()
                await end(system, f"/s/sup/{failing}")
                assert " ".join(signs[what] + name for what, name in log) == expected
            log.clear()
            await end(system, "/s/sup/b")
            assert tree(system)["/s/sup"].state == "failed"
            assert log == [("failure", "b"), ("stop", "c"), ("stop", "a")]

    run(main)


@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.value)
def test_escalation(strategy: Strategy) -> None:
    """A restart that cannot succeed uses the intensity up; the supervisor ends with its children, and the one above decides."""
    log: Log = []
    broken: dict[str, int] = {}

    async def main() -> None:
        async with open_system("s") as system:
            inner = supervisor(strategy, *workers(log, "ab", broken), intensity=FOUR_AN_HOUR)
            await system.start(SupervisorSpec("top", (inner,), backoff=AT_ONCE))
            broken["a"] = 4
            await end(system, "/s/top/sup/a")
            nodes = tree(system)
            assert {node.state for node in nodes.values()} == {"running"}
            assert (nodes["/s/top/sup"].incarnation, nodes["/s/top/sup"].failed) == (2, 1)
            assert nodes["/s/top"].incarnation == 1
            assert log[-2:] == [("start", "a"), ("start", "b")]

    run(main)


def test_one_for_all_other_child_fails_restart() -> None:
    """b fails to start while the group is restarted: a, which is up again, is stopped and started once more before b."""
    log: Log = []
    broken: dict[str, int] = {}

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(supervisor(Strategy.ONE_FOR_ALL, *workers(log, "ab", broken)))
            log.clear()
            broken["b"] = 1
            await end(system, "/s/sup/a")
            assert log == [
                *[("failure", "a"), ("stop", "b"), ("start", "a"), ("failure", "b")],
                *[("stop", "a"), ("start", "a"), ("start", "b")],
            ]

    run(main)


def test_rest_for_one_other_child_fails_restart() -> None:
    """b fails to start while a and b are restarted: a is up again and stays, only b and those after it are started once more."""
    log: Log = []
    broken: dict[str, int] = {}

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(supervisor(Strategy.REST_FOR_ONE, *workers(log, "abc", broken)))
            log.clear()
            broken["b"] = 1
            await end(system, "/s/sup/a")
            assert log == [
                *[("failure", "a"), ("stop", "c"), ("stop", "b"), ("start", "a"), ("failure", "b")],
                *[("start", "b"), ("start", "c")],
            ]

    run(main)


# --- children by key ------------------------------------------------------------------------------------------------------------


def test_simple_one_for_one() -> None:
    """Only the one that failed comes back. Here each has its own intensity: one that exceeds it leaves the tree, the others stay."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(by_key(log, intensity=TWO_AN_HOUR))
            children = system.dynamic("/s/sup")
            for key in "ab":
                assert await children.ref(key).ask("x") == 1
            for incarnation in (2, 3):
                await end(system, "/s/sup/a")
                assert await children.ref("a").ask("x") == incarnation
            await end(system, "/s/sup/a")
            assert children.keys() == ("b",)
            assert await children.ref("b").ask("x") == 1
            assert tree(system)["/s/sup"].incarnation == 1

    run(main)


def test_simple_one_for_one_shutdown() -> None:
    """They are stopped at once together, not one after another: two in their time, the third is killed at the bound."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(by_key(log, stop_timeout_s=2.0))
            for key, busy_s in (("a", 1.0), ("b", 1.0), ("c", 5.0)):
                system.dynamic("/s/sup").ref(key).tell(busy_s)
            await trio.testing.wait_all_tasks_blocked()
            before = trio.current_time()
            await system.ref("/s/sup").stop()
            assert trio.current_time() - before == 2.0

    run(main)
    assert sorted(log[3:]) == [("stop", "a"), ("stop", "b")]


def test_simple_one_for_one_escalation() -> None:
    """Too many children given up: the supervisor itself gives up, and the one above starts it anew."""
    log: Log = []
    broken = {"bad": 3}

    async def main() -> None:
        async with open_system("s") as system:
            given_up = Intensity(max=0, within_s=3600.0)
            spec = by_key(log, intensity=TWO_AN_HOUR, escalation=given_up, broken=broken)
            await system.start(SupervisorSpec("top", (spec,), backoff=AT_ONCE))
            children = system.dynamic("/s/top/sup")
            assert await children.ref("good").ask("x") == 1
            children.ref("bad")
            await trio.sleep(TICK_S)
            assert tree(system)["/s/top/sup"].incarnation == 2
            assert children.keys() == ("good",)
            assert await children.ref("good").ask("x") == 2

    run(main)


def test_temporary_children_leave_nothing_behind() -> None:
    """However they end, neither the tree nor the places of the system keep them; the key can be used again."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(by_key(log, Restart.TEMPORARY))
            children = system.dynamic("/s/sup")
            for how in ("end", "fail", "stop", "kill"):
                ref = children.ref("a")
                assert await ref.ask("x") == 1
                if how == "stop":
                    await ref.stop()
                elif how == "kill":
                    ref.kill()
                else:
                    ref.tell(how)
                await trio.sleep(TICK_S)
                assert (children.keys(), system.statistics().places) == ((), 2)

    run(main)


# --- trees ------------------------------------------------------------------------------------------------------------------------


def test_tree() -> None:
    """A failure is settled as low as it can be; one that escalates restarts the tree above it, and nobody further up notices."""
    log: Log = []
    broken: dict[str, int] = {}

    async def main() -> None:
        async with open_system("s") as system:
            left = SupervisorSpec("left", workers(log, "ab"), intensity=FOUR_AN_HOUR, backoff=AT_ONCE)
            right = SupervisorSpec("right", workers(log, "cd", broken), intensity=FOUR_AN_HOUR, backoff=AT_ONCE)
            await system.start(SupervisorSpec("sup", (left, right), Strategy.ONE_FOR_ALL, FOUR_AN_HOUR, AT_ONCE))
            log.clear()
            await end(system, "/s/sup/right/d")
            assert log == [("failure", "d"), ("start", "d")]
            log.clear()
            broken["c"] = 3
            await end(system, "/s/sup/right/c")
            nodes = tree(system)
            assert {node.state for node in nodes.values()} == {"running"}
            assert [nodes[f"/s/sup{path}"].incarnation for path in ("", "/left", "/right")] == [1, 2, 2]
            assert log == [
                *[("failure", "c")] * 4,
                *[("stop", "d"), ("stop", "b"), ("stop", "a")],
                *[("start", name) for name in "abcd"],
            ]

    run(main)


def test_nested_intensities() -> None:
    """Three levels that allow one, two and no restarts: the top gives up when the sum is reached, (1 + 1) × (2 + 1) failures."""
    log: Log = []

    async def main() -> None:
        async with open_system("s") as system:
            low = supervisor(Strategy.ONE_FOR_ONE, *workers(log, "a"), intensity=Intensity(max=1, within_s=3600.0))
            middle = SupervisorSpec("middle", (low,), intensity=TWO_AN_HOUR, backoff=AT_ONCE)
            top = SupervisorSpec(
                "top", (middle,), intensity=Intensity(0, 1.0), backoff=AT_ONCE, restart=Restart.TEMPORARY
            )
            await system.start(top)
            ref = system.ref("/s/top/middle/sup/a")
            failures = 0
            while ref.is_alive():
                failures += 1
                await end(system, ref.path)
            assert failures == 6
            nodes = tree(system)
            assert [nodes[path].state for path in ("/s", "/s/top", "/s/top/middle")] == ["running", "failed", "failed"]

    run(main)


@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.value)
def test_hanging_restart_loop(strategy: Strategy) -> None:
    """A child that fails every restart does not hang its supervisor, which hears a stop and is gone at once."""
    log: Log = []
    broken: dict[str, int] = {}

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            often = Intensity(max=1_000_000, within_s=1.0)
            spec = SupervisorSpec("sup", workers(log, "ab", broken), strategy, often, Backoff(base_s=1.0, cap_s=8.0))
            await system.start(spec)
            broken["a"] = 1_000_000
            await end(system, "/s/sup/a")
            await trio.sleep(1000.0)
            assert tree(system)["/s/sup/a"].state == "backoff"
            assert tree(system)["/s/sup/b"].state == ("running" if strategy is Strategy.ONE_FOR_ONE else "backoff")
            before = trio.current_time()
            assert await system.ref("/s/sup").stop()
            assert trio.current_time() == before

    run(main)
