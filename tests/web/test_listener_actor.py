"""The listener as an actor: supervised, restarted on the same socket, drained when the system stops."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from edge_kit import PATIENCE_S, ended, post, refuse_early, response
from trio_run import run

from actors.runtime import Child, SupervisorSpec, open_system
from web.listener import BoundSocket, Limits, bind
from web.listener.actor import STOP_TIMEOUT_S, DescribeListener, ListenerActor, Upkeep


def _child(bound: BoundSocket, app: Any = None, **kwargs: Any) -> Child:
    return Child(
        "audit",
        ListenerActor,
        args=("audit", bound, app or refuse_early()),
        kwargs={"limits": Limits(drain_s=0.2)} | kwargs,
        stop_timeout_s=STOP_TIMEOUT_S,
    )


async def _incarnation(system: Any) -> int:
    await trio.lowlevel.checkpoint()
    [edge] = [child for child in system.snapshot().children if child.path == "/t/edge"]
    return int(edge.children[0].incarnation)


async def _ask(port: int) -> int:
    """The status of one request on a connection of its own; 0 where that was cut, be it before the request was sent."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        await stream.send_all(post("/"))
        return (await response(stream))[0]
    except trio.BrokenResourceError:
        return 0
    finally:
        await trio.aclose_forcefully(stream)


def test_it_serves_once_started_and_describes_itself() -> None:
    """Started means: connections are accepted."""

    async def main() -> tuple[int, int]:
        bound = bind("127.0.0.1", 0)
        async with open_system("t") as system:
            await system.start(_child(bound))
            status = await _ask(bound.port)
            described = await system.ref("/t/audit").ask(DescribeListener(), timeout_s=PATIENCE_S)
            assert described.addresses == bound.addresses
        bound.close()
        return status, described.requests

    assert run(main, real_time=True) == (200, 1)


def test_a_crash_refuses_no_connection() -> None:
    """An upkeep that raises crashes the actor: no client is refused meanwhile, and it comes back on the same socket.

    A connection that the crashed one had accepted already may be cut (status 0): it goes with its incarnation.
    """

    async def main() -> int:
        bound = bind("127.0.0.1", 0)
        crashes = iter([True])

        def upkeep(_now: float) -> None:
            if next(crashes, False):
                raise ZeroDivisionError

        async with open_system("t") as system:
            await system.start(SupervisorSpec("edge", children=(_child(bound, upkeep=(upkeep,)),)))
            assert await _ask(bound.port) == 200
            before = await _incarnation(system)
            system.ref("/t/edge/audit").tell(Upkeep())
            while await _incarnation(system) == before:
                assert await _ask(bound.port) in (200, 0)
            assert [await _ask(bound.port) for _ in range(3)] == [200, 200, 200]
            after = await _incarnation(system)
        bound.close()
        return after - before

    assert run(main, real_time=True) == 1


def test_stopping_the_system_drains_it() -> None:
    """A request in flight gets its answer, an open one that never ends is cut."""

    async def main() -> tuple[int, bool]:
        go, inside = trio.Event(), trio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise TypeError
            if scope["path"] == "/slow":
                inside.set()
                await go.wait()
            elif scope["path"] == "/hold":
                await trio.sleep_forever()
            await refuse_early()(scope, receive, send)

        bound = bind("127.0.0.1", 0)
        async with open_system("t") as system:
            await system.start(_child(bound, app))
            slow = await trio.open_tcp_stream("127.0.0.1", bound.port)
            await slow.send_all(post("/slow"))
            hold = await trio.open_tcp_stream("127.0.0.1", bound.port)
            await hold.send_all(post("/hold", length=1000, body=b"{"))
            await inside.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: _stop(system))
                go.set()
                status = (await response(slow))[0]
                is_cut = await ended(hold)
        for stream in (slow, hold):
            await trio.aclose_forcefully(stream)
        bound.close()
        return status, is_cut

    assert run(main, real_time=True) == (200, True)


async def _stop(system: Any) -> None:
    stopping = system.stop()
    if stopping is not None:
        await stopping


def test_draining_can_begin_for_several_at_once() -> None:
    """With the event every listener drains at the same time, though the supervisor stops them one after the other."""

    async def main() -> float:
        async def hold(scope: Any, _receive: Any, _send: Any) -> None:
            if scope["type"] != "http":
                raise TypeError
            await trio.sleep_forever()

        drain, bounds, streams = trio.Event(), [bind("127.0.0.1", 0) for _ in range(4)], []
        limits = Limits(drain_s=0.3)
        async with open_system("t") as system:
            for i, bound in enumerate(bounds):
                kwargs = {"limits": limits, "drain_on": drain}
                await system.start(Child(f"l{i}", ListenerActor, (f"l{i}", bound, hold), kwargs))
                streams.append(await trio.open_tcp_stream("127.0.0.1", bound.port))
                await streams[-1].send_all(post("/"))
            for bound in bounds:
                while (described := bound.statistics()) is None or described.requests == 0:
                    await trio.lowlevel.checkpoint()
            started = trio.current_time()
            drain.set()
        took_s = trio.current_time() - started
        for stream in streams:
            await trio.aclose_forcefully(stream)
        for bound in bounds:
            bound.close()
        return took_s

    assert run(main, real_time=True) < 0.9


def test_who_comes_after_the_drain_is_refused_at_once() -> None:
    """The listener that has drained for good keeps nobody waiting for an accept while the system still runs."""

    async def main() -> bool:
        bound, drain = bind("127.0.0.1", 0), trio.Event()
        port = bound.port
        async with open_system("t") as system:
            await system.start(_child(bound, drain_on=drain))
            assert await _ask(port) == 200
            drain.set()
            is_refused = False
            with trio.move_on_after(PATIENCE_S):
                while not is_refused:
                    try:
                        stream = await trio.open_tcp_stream("127.0.0.1", port)
                    except OSError:
                        is_refused = True
                    else:
                        await trio.aclose_forcefully(stream)
        bound.close()
        return is_refused

    assert run(main, real_time=True)


def test_an_unknown_message_is_no_failure() -> None:
    """It is warned of, and the listener goes on."""

    async def main() -> int:
        bound = bind("127.0.0.1", 0)
        async with open_system("t") as system:
            await system.start(_child(bound))
            system.ref("/t/audit").tell("what")
            status = await _ask(bound.port)
        bound.close()
        return status

    assert run(main, real_time=True) == 200


def test_the_stop_timeout_covers_the_default_bounds() -> None:
    """Draining, lingering and closing together end before the supervisor loses patience, and that before `serve` must end."""
    limits = Limits()
    assert limits.drain_s + limits.linger_s + 1.0 < STOP_TIMEOUT_S < 25.0


pytestmark = pytest.mark.slow
