"""What decoding makes of an object before the model has joined it with others. Counterpart: decode.py makes them, model.py takes them.

Roles, bindings, Services, Ingresses, ServiceAccounts and Secrets are complete as decoded (records.py). A pod needs its
owners and its ServiceAccount, a Gateway API route needs its gateways: those are the types here.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from actors.cluster.records import Binding, KnownSecret, OwnerName, Pod, Role, Route, Service, ServiceAccount


class RawPod(Struct, frozen=True, gc=False):
    """A pod as written. `pod.workload` is the bare pod and `pod.bound_token` what the pod alone says."""

    pod: Pod
    owner: OwnerName | None = None
    """Its controller (ownerReferences with `controller: true`)."""
    automount: bool | None = None
    """automountServiceAccountToken of the pod; None: its ServiceAccount decides."""
    projected_token: bool = False
    """Whether a projected volume of it holds a ServiceAccount token."""


class RawRoute(Struct, frozen=True, gc=False):
    """A Gateway API route; `route.addresses` is empty until the gateways are known."""

    route: Route
    gateways: tuple[tuple[str, str], ...] = ()
    """(namespace, name) of its parent Gateways."""


class Gateway(Struct, frozen=True, gc=False):
    """A Gateway and the addresses of its status."""

    namespace: str
    name: str
    addresses: tuple[str, ...] = ()


class Owner(Struct, frozen=True, gc=False):
    """An object known only so that pods can be folded (ReplicaSet, Job), or so that it is counted (Deployment, Namespace, ...)."""

    kind: str
    namespace: str | None
    name: str
    uid: str = ""
    owner: OwnerName | None = None

    @property
    def key(self) -> str:
        """What a reference finds it by: the uid, or its name where a hand-made file has no uids."""
        return self.uid or f"{self.kind}/{self.namespace}/{self.name}"


Decoded = RawPod | RawRoute | Gateway | Owner | Role | Binding | Service | Route | ServiceAccount | KnownSecret


class Skipped(Struct, frozen=True, gc=False):
    """An object that gave no record, and why."""

    reason: Literal["unknown", "malformed"]
    kind: str = ""


class Snapshot(Struct, frozen=True):
    """What one file held: the objects in their order, and how many of each kind were taken or not."""

    path: str
    objects: tuple[Decoded, ...]
    counts: dict[str, int]
    """Objects taken, by kind."""
    unknown: dict[str, int]
    """Objects of kinds that say nothing here, by kind."""
    malformed: int = 0
    """Objects that cannot be: wrong types, impossible names."""
