"""Behaviors: what a workload was seen doing, and the JSON in which agents report it. Counterpart: existing agents, field by field.

The wire is JSON tagged by `kind` in snake_case, in the order in which the fields stand here. Two rules keep old agents working: a
`secret_read` without `source` is a mounted one, and a mounted one is written without `source`. Fields that are not known are skipped.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

TEXT_LEN_MAX: Final = 4096
"""Longest rule, peer, name or path (Linux PATH_MAX); an observation with a longer one is refused."""
INTERACTIVE_SHELLS: Final = frozenset({"ash", "bash", "dash", "sh", "zsh"})
"""Basenames that make an exec the start of an interactive shell."""
PACKAGE_MANAGERS: Final = frozenset({"apk", "apt", "apt-get", "dnf", "gem", "npm", "pip", "pip3", "yum"})
"""Basenames that make an exec a change of the image's packages."""

Text = Annotated[str, Meta(max_length=TEXT_LEN_MAX)]
Uid = Annotated[int, Meta(ge=0, le=2**32 - 1)]
EpochMs = Annotated[int, Meta(ge=0, le=2**63 - 1)]
SecretReadSource = Literal["mounted", "api"]


class Alert(Struct, frozen=True, gc=False, tag_field="kind", tag="alert"):
    """A sensor's rule fired."""

    rule: Text

    variant_label = "alert"

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"alert: {self.rule}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same."""
        return f"alert:{self.rule}"


class NetworkConnection(Struct, frozen=True, gc=False, tag_field="kind", tag="network_connection"):
    """A connection that the workload opened; `internet` if the peer is outside the cluster."""

    peer: Text
    internet: bool

    variant_label = "connection"

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"connects to {self.peer}{' (INTERNET egress)' if self.internet else ''}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same: peers come and go, where they are does not."""
        return "egress:internet" if self.internet else "egress:cluster"


class SecretRead(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="secret_read"):
    """A Secret was read: from a file mounted into the pod, or by asking the API server."""

    secret: Text
    source: SecretReadSource = "mounted"

    variant_label = "secret-read"

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"reads secret {self.secret}{' (via Kubernetes API)' if self.source == 'api' else ''}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same: the two ways of reading stay apart."""
        return f"{'read-api' if self.source == 'api' else 'read'}:{self.secret}"


class LibraryLoaded(Struct, frozen=True, gc=False, tag_field="kind", tag="library_loaded"):
    """A shared library was loaded."""

    name: Text

    variant_label = "library-load"

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"loaded library {self.name}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same."""
        return f"lib:{self.name}"


class FileRead(Struct, frozen=True, gc=False, tag_field="kind", tag="file_read"):
    """A file was opened that the agent could not judge: a mounted Secret's, or nothing of interest."""

    path: Text

    variant_label = "file-read"

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"opened file {self.path}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same."""
        return f"file:{self.path}"


class PrivilegeChange(Struct, frozen=True, gc=False, tag_field="kind", tag="privilege_change"):
    """A process changed its real user id."""

    from_uid: Uid
    to_uid: Uid

    variant_label = "priv-change"

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"privilege change uid {self.from_uid} -> {self.to_uid}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same: only what was gained."""
        return f"priv:{self.to_uid}"


class ProcessExec(Struct, frozen=True, gc=False, tag_field="kind", tag="process_exec"):
    """A program was started; `path` as the kernel saw it."""

    path: Text

    variant_label = "exec"

    @property
    def basename(self) -> str:
        """The program's name without its folders."""
        return self.path.rpartition("/")[2]

    @property
    def is_interactive_shell(self) -> bool:
        """Whether a shell was started in the container."""
        return self.basename in INTERACTIVE_SHELLS

    @property
    def is_package_manager(self) -> bool:
        """Whether software may have been installed in the container."""
        return self.basename in PACKAGE_MANAGERS

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.is_interactive_shell:
            return f"executed {self.path} (interactive shell in container)"
        if self.is_package_manager:
            return f"executed {self.path} (package manager in container)"
        return f"executed {self.path}"

    @property
    def fingerprint_key(self) -> str:
        """What makes two of them the same: the program, wherever it lies."""
        return f"exec:{self.basename}"


Behavior = Alert | NetworkConnection | SecretRead | LibraryLoaded | FileRead | PrivilegeChange | ProcessExec
"""Each has `variant_label` (a metric label: never more values than kinds), `summary` and `fingerprint_key`."""


class BehaviorObservation(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One behavior of one pod, named by `pod_uid` (agents that know the cgroup) or by `namespace` and `pod`.

    `source` is the sensor's name; `observed_at_ms` its clock, milliseconds since the epoch. What is absent is not written.
    ValueError when neither way of naming the pod is complete (a msgspec.ValidationError when it comes from a decode).
    """

    pod_uid: Text | None = None
    namespace: Text | None = None
    pod: Text | None = None
    source: Text | None = None
    observed_at_ms: EpochMs | None = None
    behavior: Behavior

    def __post_init__(self) -> None:
        if self.pod_uid is None and (self.namespace is None or self.pod is None):
            raise ValueError("an observation names its pod by pod_uid, or by namespace and pod")


_encoder = msgspec.json.Encoder()
_behavior: msgspec.json.Decoder[Behavior] = msgspec.json.Decoder(Behavior)
_observations: msgspec.json.Decoder[tuple[BehaviorObservation, ...]] = msgspec.json.Decoder(
    tuple[BehaviorObservation, ...]
)
T = TypeVar("T")


def _decoded(decoder: msgspec.json.Decoder[T], wire: bytes) -> T:
    try:
        return decoder.decode(wire)
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these two through as they are
        raise msgspec.DecodeError("not UTF-8, or nested too deeply") from error


def encode_behavior(behavior: Behavior) -> bytes:
    """The behavior as it goes on the wire."""
    return _encoder.encode(behavior)


def decode_behavior(wire: bytes) -> Behavior:
    """The behavior that this JSON says; msgspec.DecodeError for anything else."""
    return _decoded(_behavior, wire)


def encode_observations(observations: tuple[BehaviorObservation, ...]) -> bytes:
    """The body of one report: a JSON array."""
    return _encoder.encode(observations)


def decode_observations(wire: bytes) -> tuple[BehaviorObservation, ...]:
    """The observations of one report, all or none; msgspec.DecodeError when one of them is not of the contract."""
    return _decoded(_observations, wire)
