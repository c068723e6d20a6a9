"""Too many connections: which of them has to go, and that those that were answered well never do."""

from __future__ import annotations

import pytest
import trio
from edge_kit import Served, echo, ended, h2_client, post, refuse_early, response, served
from trio_run import run

from web.listener import Limits

TWO = pytest.mark.parametrize("limits", [Limits(connections=2), Limits(connections_per_peer=2)], ids=["all", "peer"])


async def proven(server: Served) -> trio.abc.Stream:
    """A connection that had an answer of 200."""
    stream = await server.connect()
    await stream.send_all(post("/"))
    assert (await response(stream))[0] == 200
    return stream


@TWO
def test_with_no_place_to_be_had_the_new_one_is_closed_at_once(limits: Limits) -> None:
    """The third of two good ones is closed, those before it are served on, and a place that becomes free is taken."""

    async def main() -> int:
        async with served(echo, tls=False, limits=limits) as server:
            first, second = await proven(server), await proven(server)
            assert await ended(await server.connect())
            await first.send_all(post("/"))
            assert (await response(first))[0] == 200
            await trio.aclose_forcefully(second)
            await server.settled(lambda: server.listener.statistics().connections == 1)
            await proven(server)
            counts = server.listener.statistics()
            assert counts.evicted == 0
            return counts.refused_full + counts.refused_peer

    assert run(main, real_time=True) == 1


@TWO
@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_the_oldest_that_was_never_answered_well_makes_room(limits: Limits, tls: bool) -> None:
    """No handshake or half a head, from the sender's own address: it goes, the good connection stays, the newer one is served."""

    async def main() -> None:
        async with served(echo, tls=tls, limits=limits) as server:
            good, slow = await proven(server), await server.connect_tcp()
            await slow.send_all(b"\x16" if tls else b"POST / HT")
            await server.settled(lambda: server.listener.statistics().connections == 2)
            newer = await proven(server)
            assert await ended(slow)
            for stream in (good, newer):
                await stream.send_all(post("/"))
                assert (await response(stream))[0] == 200
            counts = server.listener.statistics()
            assert (counts.evicted, counts.refused_full, counts.refused_peer, counts.failures) == (1, 0, 0, {})

    run(main, real_time=True)


def test_a_refusal_proves_nothing() -> None:
    """A connection that was answered 401 goes before a younger one that waits; one that was answered 200 over HTTP/2 stays."""

    async def main() -> None:
        async with served(refuse_early(), limits=Limits(connections=3)) as server:
            refused = await server.connect()
            await refused.send_all(post("/early"))
            assert (await response(refused))[0] == 401
            async with h2_client(server) as client:
                assert (await client.answer(await client.open("/", end=True))).status == 200
                waiting = await server.connect()
                await server.settled(lambda: server.listener.statistics().connections == 3)
                await proven(server)
                assert await ended(refused)
                await proven(server)
                assert await ended(waiting)
                assert (await client.answer(await client.open("/", end=True))).status == 200
            assert server.listener.statistics().evicted == 2

    run(main, real_time=True)


def test_many_that_come_and_do_nothing_keep_no_sender_out() -> None:
    """Ten times as many as there are places, half of them without a handshake: each new sender is served, none is left behind."""

    async def main() -> None:
        async with served(echo, limits=Limits(connections=8, connections_per_peer=6)) as server:
            good = await proven(server)
            for number in range(60):
                await server.connect_tcp()
                if number % 10 == 0:
                    await trio.aclose_forcefully(await proven(server))
                    await good.send_all(post("/"))
                    assert (await response(good))[0] == 200
            counts = server.listener.statistics()
            assert counts.connections_peak <= 6
            assert counts.evicted > 40
            assert counts.failures == {}

    run(main, real_time=True)
