"""The objects of a cluster as small frozen records: all that survives decoding.

No annotations (but the exposure one), no managedFields, no values: `kubectl apply` stores whole Secrets in annotations.
Times are seconds since the epoch. `gone_at` None: the object is there; otherwise it is a tombstone, remembered so that
a read is judged against the cluster as it was when it happened (design 3, "As of the event").
`gone_at` math.inf: only an earlier snapshot has it; it counts at any time and is marked as gone all the same.
Several records may share a role's or binding's key: versions that were replaced or went, each with its own `valid_from` and
`gone_at`, and at most one live one, last.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from actors.evidence import Account, ObjectName, Workload


class MountedSecret(Struct, frozen=True, gc=False):
    """A Secret of the pod's own namespace that the pod gets without asking the API server itself."""

    secret: str
    how: Literal["volume", "projected", "env", "image_pull", "csi"]
    path: str | None = None
    """Where it is mounted (volumes), so that a file read can be told apart later."""


class OwnerName(Struct, frozen=True, gc=False):
    """The controlling owner of an object."""

    kind: str
    name: str
    uid: str


class Pod(Struct, frozen=True, gc=False):
    """A pod, live or remembered. `workload` is its top owner, folded by the model."""

    uid: str
    account: Account
    name: str
    workload: Workload
    labels: tuple[tuple[str, str], ...] = ()
    node: str | None = None
    ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    host_network: bool = False
    finished: bool = False
    """Phase Succeeded or Failed: no entry of chains any more, still the maker of its reads."""
    bound_token: bool = True
    """Whether it gets a projected ServiceAccount token (automount not off, or a projected source)."""
    mounts: tuple[MountedSecret, ...] = ()
    exposure: str | None = None
    """The value of the annotation protector.dev/exposure."""
    host_ports: tuple[int, ...] = ()
    """Ports of its node that it listens on: hostPort, or with hostNetwork any port that a container declares."""
    gone_at: float | None = None
    hidden: tuple[str, ...] = ()
    """Paths below a Secret's mount where something else is mounted: a file there is none of the Secret's."""

    @property
    def namespace(self) -> str:
        """Its namespace, which is its account's."""
        return self.account.namespace

    @property
    def key(self) -> str:
        """What tells it apart for ever."""
        return self.uid


class Rule(Struct, frozen=True, gc=False):
    """One rule of a role, as written. Compared literally, case included (kubernetes pkg/apis/rbac/v1/evaluation_helpers.go)."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class LabelRequirement(Struct, frozen=True, gc=False):
    """One requirement of a label selector: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Role(Struct, frozen=True, gc=False):
    """A Role or ClusterRole. `rules` None: not filled yet (a manifest with an aggregationRule)."""

    name: ObjectName
    rules: tuple[Rule, ...] | None
    labels: tuple[tuple[str, str], ...] = ()
    aggregation: tuple[tuple[LabelRequirement, ...], ...] = ()
    """The selectors of aggregationRule, each a conjunction of requirements; they are OR-ed."""
    valid_from: float = 0.0
    gone_at: float | None = None

    @property
    def key(self) -> ObjectName:
        """Kind, namespace and name."""
        return self.name


class Subject(Struct, frozen=True, gc=False):
    """A subject of a binding, as written."""

    kind: str
    name: str
    namespace: str | None = None


class Binding(Struct, frozen=True, gc=False):
    """A RoleBinding or ClusterRoleBinding."""

    name: ObjectName
    role_kind: str
    role_name: str
    subjects: tuple[Subject, ...] = ()
    valid_from: float = 0.0
    gone_at: float | None = None

    @property
    def key(self) -> ObjectName:
        """Kind, namespace and name."""
        return self.name


class Service(Struct, frozen=True, gc=False):
    """What of a Service decides about exposure."""

    namespace: str
    name: str
    type: str
    selector: tuple[tuple[str, str], ...] = ()
    external_ips: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """status.loadBalancer.ingress, ip or hostname."""
    exposure: str | None = None
    gone_at: float | None = None

    @property
    def key(self) -> ObjectName:
        """Kind, namespace and name."""
        return ObjectName("Service", self.namespace, self.name)


class Route(Struct, frozen=True, gc=False):
    """What leads to Services from outside: an Ingress, or a Gateway API route with its gateways' addresses."""

    kind: str
    namespace: str
    name: str
    backends: tuple[tuple[str, str], ...] = ()
    """(namespace, Service name)."""
    addresses: tuple[str, ...] = ()
    through: str = ""
    """What serves it: "class nginx", or the gateways that have an address, "Gateway infra/gw"; "" where it is not said."""
    gone_at: float | None = None

    @property
    def key(self) -> ObjectName:
        """Kind, namespace and name."""
        return ObjectName(self.kind, self.namespace, self.name)


class ServiceAccount(Struct, frozen=True, gc=False):
    """A ServiceAccount; `automount` None: not said."""

    account: Account
    automount: bool | None = None
    image_pull_secrets: tuple[str, ...] = ()
    gone_at: float | None = None

    @property
    def key(self) -> ObjectName:
        """Kind, namespace and name."""
        return ObjectName("ServiceAccount", self.account.namespace, self.account.name)


class KnownSecret(Struct, frozen=True, gc=False):
    """A Secret that a cluster file holds: only its name and type survive decoding."""

    namespace: str
    name: str
    type: str = "Opaque"
    gone_at: float | None = None

    @property
    def key(self) -> ObjectName:
        """Kind, namespace and name."""
        return ObjectName("Secret", self.namespace, self.name)


Record = Pod | Role | Binding | Service | Route | ServiceAccount | KnownSecret
RecordKey = str | ObjectName
