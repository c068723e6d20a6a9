"""An act: a behavior that a sensor reported of a known pod, as the window holds it. Pure data; counterpart: actors/behaviors.

Three reasons to light a chain, told apart in `corroborated_by` beside `read`, which stands for the API server's word: a mounted
Secret's file was read (its mount chain only), a sensor raised an alert, a shell or package manager was started (every chain of the
workload, as it is the workload that is not as it was meant).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from actors.evidence.behavior import Alert, Behavior, ProcessExec, SecretRead
from actors.evidence.names import Account, Workload
from actors.evidence.observation import Attribution

ActReason = Literal["mounted_read", "alert", "exec"]


class ActKey(Struct, frozen=True, gc=False, cache_hash=True, array_like=True):
    """What tells acts apart: the pod, and the behavior's fingerprint."""

    pod_uid: str
    fingerprint: str


class Act(Struct, frozen=True, gc=False):
    """One behavior of one pod; a new value replaces it when it is seen again. Times: epoch seconds."""

    key: ActKey
    behavior: Behavior
    pod: str
    """The pod's name."""
    account: Account
    workload: Workload
    attribution: Attribution
    """`exact`: the sensor named the pod's uid; `named`: its namespace and name."""
    observed_at: float
    first_seen: float
    live_until: float
    count: int = 1
    sensor: str | None = None
    """The sensor's own name for itself; nothing proves it."""

    @property
    def secret(self) -> str | None:
        """The Secret, in the pod's namespace, whose file was read."""
        behavior = self.behavior
        return behavior.secret.partition("/")[2] if isinstance(behavior, SecretRead) else None

    @property
    def reason(self) -> ActReason | None:
        """Why it lights chains; None: it is context and lights none."""
        behavior = self.behavior
        if isinstance(behavior, SecretRead):
            return "mounted_read"
        if isinstance(behavior, Alert):
            return "alert"
        if isinstance(behavior, ProcessExec) and (behavior.is_interactive_shell or behavior.is_package_manager):
            return "exec"
        return None
