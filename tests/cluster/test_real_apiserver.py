"""Against a real API server: run where KUBECONFIG names one (an admin's), and said to be left out where it does not."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio

from actors.cluster.actor import ClusterActor
from actors.cluster.feeds import Feeds
from actors.cluster.live.access import find_access
from actors.cluster.live.client import ApiClient, ApiRefused
from actors.cluster.live.kinds import WATCHED
from actors.cluster.live.watcher import LiveSource, watchers
from actors.cluster.model import ClusterModel
from actors.cluster.queries import ClusterStatus, ClusterStatusQuery
from actors.messages import ClusterSince
from actors.runtime import Actor, Child, open_system

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster to test against"),
]


class Deaf(Actor):
    """Stands for the router and the engine."""

    async def on_receive(self, message: Any) -> None:
        """Takes everything."""


def test_everything_that_is_watched_is_read_to_its_end() -> None:
    """Each kind is watched, or is not served; the roles that every cluster has are among the records."""

    async def main() -> None:
        source = LiveSource(find_access(os.environ), counts={})
        model = ClusterModel()
        async with open_system("t") as system:
            await system.start(Child("deaf", Deaf))
            deaf = system.ref("/t/deaf")
            await system.start(Child("cluster", ClusterActor, (model, (), deaf, deaf, Feeds(source.names))))
            cluster = system.ref("/t/cluster")
            await system.start(watchers(source, cluster))
            with trio.fail_after(60):
                while True:
                    status: ClusterStatus = await cluster.ask(ClusterStatusQuery(), timeout_s=10)
                    states = {kind: known.state for kind, known in status.objects.items()}
                    if set(states.values()) <= {"watching", "absent"}:
                        break
                    await trio.lowlevel.checkpoint()
            changes = await cluster.ask(ClusterSince(0, 0), timeout_s=10)
        assert changes.synced
        assert {kind.kind for kind in WATCHED if not kind.optional} <= {k for k, s in states.items() if s == "watching"}
        assert "cluster-admin" in {each.key.name for each in changes.records if not isinstance(each.key, str)}

    trio.run(main)


def test_a_refusal_names_who_and_what() -> None:
    """A kind that is not served is refused with 404, in the API server's own words."""

    async def main() -> int:
        client = ApiClient(find_access(os.environ))
        try:
            async with client.get("/apis/apps/v1/nonsense"):
                pass
        except ApiRefused as refused:
            return refused.code
        finally:
            await client.close()
        return 0

    assert trio.run(main) == 404
