"""What is known of a live cluster outlives the process: what had gone is remembered, what went meanwhile is noticed."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kube_objects import binding, pod, role
from live_kit import BY_KIND, LiveCluster, watch_all

from actors.cluster.kept import KeptCluster
from actors.cluster.records import Binding, Pod, Record, Role
from actors.evidence import ObjectName
from actors.testing.kube import FakeKube

KINDS = tuple(BY_KIND[kind] for kind in ("Pod", "Role", "RoleBinding"))


def kube_of_three() -> FakeKube:
    """A pod, a role, a binding."""
    kube = FakeKube()
    kube.put(pod("web"), role("r", []), binding("b", "r", []))
    return kube


async def saved(live: LiveCluster, condition: Callable[[list[Record]], bool]) -> None:
    """Wait until the file says so."""

    def holds(_: object) -> bool:
        return condition([each for part in KeptCluster(live.path).load(time.time(), math.inf) for each in part])

    await live.until(holds, 0.2)


def run_once(path: Path, kube: FakeKube, story: Callable[[LiveCluster], Awaitable[None]]) -> list[Record]:
    """One process; what it knew in the end."""
    found: list[Record] = []

    async def whole(live: LiveCluster) -> None:
        live.path = path
        await live.until(
            lambda s: live.model.synced and all(each.state == "watching" for each in s.objects.values()), 0.2
        )
        await story(live)
        found.extend((await live.changes()).records)

    watch_all(whole, kube, KINDS, kept=KeptCluster(path))
    return found


async def three_rows(live: LiveCluster) -> None:
    """Everything has been saved."""
    await saved(live, lambda records: len(records) == 3)


def test_a_tombstone_outlives_the_process(tmp_path: Path) -> None:
    """A binding that went before the restart is remembered after it, with its time."""
    kube, path = kube_of_three(), tmp_path / "kept"

    async def unbind(live: LiveCluster) -> None:
        await three_rows(live)
        live.kube.delete(binding("b", "r", []))
        await live.until(lambda s: s.objects["RoleBinding"].count == 0, 0.2)
        await saved(live, lambda records: any(each.gone_at is not None for each in records))

    async def nothing(_live: LiveCluster) -> None:
        pass

    before = next(each for each in run_once(path, kube, unbind) if isinstance(each, Binding))
    after = next(each for each in run_once(path, kube, nothing) if isinstance(each, Binding))
    assert before.gone_at is not None
    assert before == after


def test_what_went_while_nobody_looked_is_remembered(tmp_path: Path) -> None:
    """Pod, role and binding that are missing from the first list after the restart have gone; nothing is forgotten at once."""
    kube, path = kube_of_three(), tmp_path / "kept"

    async def nothing(_live: LiveCluster) -> None:
        pass

    run_once(path, kube, three_rows)
    for each in (pod("web"), role("r", []), binding("b", "r", [])):
        kube.delete(each)
    found = run_once(path, kube, nothing)
    assert {Pod, Role, Binding} == {type(each) for each in found}
    assert all(each.gone_at is not None for each in found)


def test_what_is_still_there_is_as_it_was(tmp_path: Path) -> None:
    """A restart while nothing changed changes nothing."""
    kube, path = kube_of_three(), tmp_path / "kept"
    assert sorted(map(repr, run_once(path, kube, three_rows))) == sorted(map(repr, run_once(path, kube, three_rows)))


@pytest.mark.parametrize("damage", ["garbage", "version", "rows"])
def test_a_file_that_cannot_be_used_is_begun_anew(tmp_path: Path, damage: str) -> None:
    """It costs what it remembered, and nothing else."""
    kube, path = kube_of_three(), tmp_path / "kept"
    run_once(path, kube, three_rows)
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        db = sqlite3.connect(path)
        db.executescript("PRAGMA user_version=99" if damage == "version" else "UPDATE kept SET value = x'ff'")
        db.close()
    assert len(run_once(path, kube, three_rows)) == 3


def test_what_is_too_old_is_not_believed(tmp_path: Path) -> None:
    """After longer than anything gone is remembered, the first list is all there is."""
    kept = KeptCluster(tmp_path / "kept")
    assert kept.save([[Role(ObjectName("Role", "app", "r"), ())]], (), 1000.0)
    assert [len(part) for part in kept.load(1599.0, 600.0)] == [1]
    assert list(kept.load(1700.0, 600.0)) == []
