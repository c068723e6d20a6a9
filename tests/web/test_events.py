"""The event hub: order, replay, ids of other processes, bounds, heartbeat, end."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_run import run

from web.events import Event, EventHub, Heartbeat, HubClosed, HubFull, Missed, Subscription, as_sse


async def take(subscription: Subscription, count: int) -> list[Event | Missed | Heartbeat]:
    return [await anext(subscription) for _ in range(count)]


def test_live_in_order():
    """Two subscribers each get everything that is published after they came, in order."""

    async def main() -> None:
        hub = EventHub("s")
        hub.publish("chain.expired", "0")
        with hub.subscribe() as one, hub.subscribe() as two:
            ids = [hub.publish("chain.corroborated", str(n)) for n in (1, 2)]
            for subscription in (one, two):
                got = await take(subscription, 2)
                assert [Event(i, "chain.corroborated", d) for i, d in zip(ids, "12", strict=True)] == got

    run(main)


def test_waits_for_what_comes():
    """A subscriber that has everything waits until something is published."""

    async def main() -> list[object]:
        hub = EventHub("s")
        got: list[object] = []

        async def read(task_status: trio.TaskStatus[None]) -> None:
            with hub.subscribe() as subscription:
                task_status.started()
                got.append(await anext(subscription))

        async with trio.open_nursery() as nursery:
            await nursery.start(read)
            await trio.sleep(3)
            hub.publish("read.unexplained", "{}")
        return got

    assert [Event("s-1", "read.unexplained", "{}")] == run(main)


def test_last_event_id_replays_what_was_missed():
    """Who comes back with an id of this process gets exactly what came after it."""

    async def main() -> list[str]:
        hub = EventHub("s")
        for n in range(5):
            hub.publish("chain.expired", str(n))
        with hub.subscribe("s-3") as subscription:
            return [item.id for item in await take(subscription, 2) if isinstance(item, Event)]

    assert run(main) == ["s-4", "s-5"]


@pytest.mark.parametrize(
    "last_id",
    [
        "earlier-3",  # another process's
        "s-9",  # not given out yet
        "nonsense\r\nid",  # garbage
        "s-",
        "s-99999999999999999999999",
    ],
)
def test_foreign_id_gets_everything(last_id):
    """An id that this process did not give out is told so, and gets all that the ring holds."""

    async def main() -> list[object]:
        hub = EventHub("s")
        hub.publish("chain.expired", "1")
        hub.publish("chain.expired", "2")
        with hub.subscribe(last_id) as subscription:
            return list(await take(subscription, 3))

    assert [
        Missed(None, "s-0"),
        Event("s-1", "chain.expired", "1"),
        Event("s-2", "chain.expired", "2"),
    ] == run(main)


def test_slow_reader_is_told_what_it_missed():
    """When the ring moved past a subscriber it gets one notice with the count, then what is left; the count is kept."""

    async def main() -> tuple[list[object], int]:
        hub = EventHub("s", ring_max=3)
        with hub.subscribe() as subscription:
            for n in range(1, 11):
                hub.publish("chain.expired", str(n))
            return list(await take(subscription, 4)), hub.statistics().missed

    items, missed = run(main)
    assert [Missed(7, "s-7"), *(Event(f"s-{n}", "chain.expired", str(n)) for n in (8, 9, 10))] == items
    assert missed == 7


def test_subscribers_are_bounded():
    """The subscriber over the bound is refused and counted; a closed one makes room."""

    async def main() -> None:
        hub = EventHub("s", subscribers_max=1)
        with hub.subscribe(), pytest.raises(HubFull):
            hub.subscribe()
        with hub.subscribe():
            pass
        assert (hub.statistics().subscribers, hub.statistics().refused) == (0, 1)

    run(main)


def test_heartbeat_after_silence():
    """Fifteen silent seconds bring a heartbeat, and the subscription goes on after it."""

    async def main() -> list[object]:
        hub = EventHub("s")
        with hub.subscribe() as subscription:
            before = trio.current_time()
            first = await anext(subscription)
            assert pytest.approx(trio.current_time() - before) == 15.0
            hub.publish("chain.expired", "1")
            return [first, await anext(subscription)]

    assert [Heartbeat(), Event("s-1", "chain.expired", "1")] == run(main)


def test_close_ends_every_stream_at_once():
    """Closing the hub ends waiting streams in no time and refuses new ones."""

    async def main() -> tuple[float, int]:
        hub = EventHub("s")
        ended: list[float] = []

        async def read() -> None:
            with hub.subscribe() as subscription:
                async for _ in subscription:
                    raise AssertionError("nothing was published")
            ended.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(read)
            await trio.sleep(1)
            closed_at = trio.current_time()
            hub.close()
        with pytest.raises(HubClosed):
            hub.subscribe()
        assert [closed_at, closed_at] == ended
        return closed_at, hub.statistics().subscribers

    assert run(main)[1] == 0


@given(data=st.text())
@settings(derandomize=True, deadline=None)
def test_data_cannot_forge_an_event(data):
    """Whatever the data is, the stream has one event with one id, one name and only data lines."""
    encoded = as_sse(Event("s-1", "chain.expired", data.encode("utf-8", "replace").decode())).decode()
    lines = encoded.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert lines[:2] == ["id: s-1", "event: chain.expired"]
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[2:-2])


def test_name_is_checked():
    """A name that is not lower-case words is our bug, and says so."""
    with pytest.raises(ValueError, match="no event name"):
        EventHub("s").publish("x\ndata: y", "{}")
