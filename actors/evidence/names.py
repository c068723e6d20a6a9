"""What things are called: accounts, Secrets, workloads, objects, and which names Kubernetes allows.

The names are keys of many dicts and are made once for many events, so they remember their hash.
All values are plain text as the API server has it; `namespace` None means cluster-scoped or every namespace.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

NAME_MAX: Final = 253
"""Longest object name (RFC 1123 subdomain; k8s.io/apimachinery pkg/util/validation)."""
LABEL_MAX: Final = 63
"""Longest namespace (RFC 1123 label)."""

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


def is_namespace_name(text: str) -> bool:
    """Whether this can be a namespace (RFC 1123 label)."""
    return len(text) <= LABEL_MAX and _LABEL.fullmatch(text) is not None


def is_object_name(text: str) -> bool:
    """Whether this can be the name of a Secret, pod or ServiceAccount (RFC 1123 subdomain)."""
    return len(text) <= NAME_MAX and _SUBDOMAIN.fullmatch(text) is not None


class Account(Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """A ServiceAccount."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def username(self) -> str:
        """The user name under which the API server knows it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class Scope(Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """The Secrets of one request or one grant: name None is every Secret there, namespace None everywhere."""

    namespace: str | None
    name: str | None

    def __str__(self) -> str:
        if self.namespace is None:
            return "*" if self.name is None else f"*/{self.name}"
        return f"{self.namespace}/{self.name or '*'}"

    def covers(self, namespace: str, name: str) -> bool:
        """Whether this one Secret lies in the scope."""
        return self.namespace in (None, namespace) and self.name in (None, name)


class Workload(Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """The top owner of pods: Deployment, StatefulSet, DaemonSet, CronJob, Job, or the bare Pod."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


class ObjectName(Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """Any object by kind, namespace (None: cluster-scoped) and name; here mostly roles and bindings."""

    kind: str
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace is not None else f"{self.kind}/{self.name}"


class PodClaim(Struct, frozen=True, gc=False):
    """The pod that a token says it was issued for (`user.extra`); `uid` decides where it is there (design 3, Attribution)."""

    name: str | None
    uid: str | None
