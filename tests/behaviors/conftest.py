"""Pods whose mounts are known, for the tests of behaviors."""

from __future__ import annotations

from typing import Any

import pytest

from actors.cluster.records import MountedSecret, Pod
from actors.evidence import Account, Workload


def make_pod(name: str = "web-1", mounts: tuple[MountedSecret, ...] = (), **more: Any) -> Pod:
    """A pod of app/web; its uid is `uid-<name>`. Mounts are sorted as the cluster's decoder does."""
    ordered = tuple(sorted(mounts, key=lambda mount: -len(mount.path or "")))
    return Pod(
        f"uid-{name}", Account("app", "reader"), name, Workload("Deployment", "app", "web"), mounts=ordered, **more
    )


@pytest.fixture
def pod():
    return make_pod
