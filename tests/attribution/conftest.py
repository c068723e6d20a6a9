"""Observations and pods in builder functions: what the tests of attribution are written in."""

from __future__ import annotations

from typing import Any

import pytest

from actors.cluster.records import Pod
from actors.evidence import Account, Observation, PodClaim, Read, Scope, Workload, observation_key
from actors.messages import AccountChanges, AccountPods

START_AT = 1_700_000_000.0
READER = Account("app", "reader")


class Builders:
    """Everything is of the account app/reader unless said otherwise."""

    now = START_AT
    account = READER

    def pod(self, name: str = "web-1", workload: str = "web", uid: str | None = None, **more: Any) -> Pod:
        fields: dict[str, Any] = {"ips": ("10.1.0.1",), "host_ips": ("10.0.0.9",)} | more
        return Pod(uid or f"uid-{name}", READER, name, Workload("Deployment", "app", workload), **fields)

    def pods(self, *pods: Pod) -> AccountPods:
        return AccountPods(READER, pods)

    def observation(
        self, verb: Any = "get", ns: str | None = "app", name: str | None = "db", **more: Any
    ) -> Observation:
        at = more.pop("at", START_AT)
        live_until, first_read, count = (
            more.pop("live_until", at + 300),
            more.pop("first_read", False),
            more.pop("count", 1),
        )
        read = Read(READER, Scope(ns, name), verb, at, at, **more)
        return Observation(observation_key(read), read, at, at, count, live_until, 0.0, (), 1, first_read)

    def claim(self, name: str | None = "web-1", uid: str | None = "") -> PodClaim:
        return PodClaim(name, f"uid-{name}" if uid == "" else uid)

    def changes(
        self, *observations: Observation, version: int = 1, full: bool = False, ended: Any = ()
    ) -> AccountChanges:
        return AccountChanges(READER, 1, version, full, observations, ended)


@pytest.fixture(scope="session")
def a() -> Builders:
    return Builders()
