"""The sampler: nothing before the first look, ten minutes at most, nothing some time after the last look; bounded."""

from __future__ import annotations

import trio
from trio_run import run
from watch_kit import Barista, Brew, cafe

from actors.runtime import Child, DynamicSpec
from actors.runtime.watch import sampler, spark
from actors.runtime.watch.sampler import KEPT, LINGER_S, PERIOD_S, Point


def test_costs_nothing_while_nobody_looks():
    """No timer and no sample before the first look; both are given back a bounded time after the last one."""

    async def main() -> list[tuple[int, bool, int]]:
        async with cafe() as there:
            seen = []

            def note() -> None:
                timers = there.system.statistics().timers.active
                now = there.watch.statistics().sampler
                seen.append((timers, now.running, now.series))

            note()
            await there.get("/api/actors")
            note()
            await there.get("/actors")
            note()
            await trio.sleep(LINGER_S - 1)
            note()
            await trio.sleep(PERIOD_S + 2)
            note()
            return seen

    assert run(main) == [(0, False, 0), (0, False, 0), (1, True, 5), (1, True, 5), (0, False, 0)]


def test_rates_and_lines_come_with_looking():
    """Handled and arrived a second between two samples, and a line on the page."""

    async def main() -> tuple[list[Point], str, str]:
        async with cafe() as there:
            await there.get("/actors")
            await trio.sleep(1)
            for _ in range(3):
                for _ in range(10):
                    there.system.ref("/cafe/bar/barista").tell(Brew())
                await trio.sleep(PERIOD_S)
            return (
                there.watch.sampler.points("/cafe/bar/barista"),
                await there.words("/actors"),
                (await there.get("/actors/cafe/bar/barista"))[1],
            )

    points, text, page = run(main)
    assert [point.handled_per_s for point in points] == [2.0, 2.0, 2.0]
    assert "2.0 in, 2.0 out /s" in text
    assert '<path class="w-line" d="M' in page


def test_series_are_bounded_in_length_and_number(monkeypatch):
    """Ten minutes of samples, and the places that were looked at longest ago are dropped, counted."""
    monkeypatch.setattr(sampler, "SERIES_MAX", 10)

    async def main() -> tuple[int, int, int]:
        async with cafe(specs=(DynamicSpec("guests", lambda key: Child(key, Barista)),)) as there:
            for n in range(30):
                there.system.dynamic("/cafe/guests").ref(f"g{n}")
            for _ in range(KEPT + 20):
                await there.get("/actors/cafe/guests")
                await trio.sleep(PERIOD_S)
            now = there.watch.statistics().sampler
            longest = max(len(there.watch.sampler.points(f"/cafe/guests/g{n}")) for n in range(30))
            return now.series, now.dropped > 0, longest

    series, dropped, longest = run(main)
    assert (series, dropped) == (10, True)
    assert longest <= KEPT


def test_an_actor_that_left_is_forgotten():
    """A place that left the tree is sampled no more, and one under the same path begins anew."""

    async def main() -> tuple[int, int]:
        async with cafe() as there:
            there.system.dynamic("/cafe/guests").ref("ada").tell(Brew())
            await there.get("/actors")
            await trio.sleep(2 * PERIOD_S + 1)
            before = len(there.watch.sampler.points("/cafe/guests/ada"))
            there.system.dynamic("/cafe/guests").retire("ada")
            await trio.sleep(PERIOD_S)
            return before, len(there.watch.sampler.points("/cafe/guests/ada"))

    assert run(main) == (2, 0)


def test_lines_have_gaps_where_nobody_looked():
    """Two stretches of samples are two lines; what is older than ten minutes is outside."""
    points = [Point(at, 1.0, 1.0, 0, 0) for at in (-900.0, 5.0, 10.0, 300.0, 305.0)]
    drawn = spark.chart(points, 310.0, "handled a second", lambda point: point.handled_per_s)
    assert drawn.split('class="w-line" d="')[1].split('"')[0].count("M") == 2
    assert "now 1.0, at most 1.0" in drawn
    assert "The first samples come" in spark.chart([], 0.0, "x", lambda _: 0.0)
