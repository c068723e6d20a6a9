"""A read: one allowed read of Secrets by a ServiceAccount, as the audit log has it. Made by the parser, kept by the store."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from actors.evidence.names import Account, ObjectName, PodClaim, Scope

Verb = Literal["get", "list", "watch"]


LOGS: Final = {
    "eks": (),
    "aks": (),
    "gke": ("pod", "node", "credential", "watch_end", "field_selector", "closed_early"),
    "forwarded": (),
}
"""The logs of managed clusters, and `forwarded`: one by a forwarder that does not say whose it is. And what each of them does not say
of a read (docs/how-to/managed-clusters.md)."""


class GrantName(Struct, frozen=True, gc=False, cache_hash=True):
    """A binding and its role, by name, as the API server's reason or the model has them."""

    binding: ObjectName
    role: ObjectName


class Read(Struct, frozen=True, gc=False, array_like=True):
    """One allowed read. Times are seconds since the epoch (UTC), of the API server's clock, never ahead of the receipt.

    Never holds anything of the Secret but its name. array_like: the journal keeps hundreds in one record.
    """

    account: Account
    scope: Scope
    verb: Verb
    at: float
    """When the request was received by the API server."""
    stage_at: float
    """For a watch when this stage was reached, its end for a finished one; for others `at`, since nothing depends on it."""
    complete: bool = True
    """False only for a watch that has started and not ended (stage ResponseStarted)."""
    open_s: float = 0.0
    """For a watch: how long after `at` it can stay open at most (its timeoutSeconds, at most 3,600)."""
    claim: PodClaim | None = None
    node: str | None = None
    credential_id: str | None = None
    source_ip: str | None = None
    """The last address of sourceIPs: the only one that a client cannot choose."""
    user_agent: str | None = None
    audit_id: str = ""
    """Chosen by the client; shown, never believed."""
    uri_hash: int = 0
    """Hash of the request URI: with account, times and audit id it tells one watch from another."""
    named: GrantName | None = None
    """The binding and role that `authorization.k8s.io/reason` says allowed it."""
    borrowed: bool = False
    """Made as somebody else (impersonation): kept and shown, corroborates nothing."""
    ends_only: bool = False
    """Not a read: only says that the watch it belongs to has ended, which did not end well (so that the item was dropped)."""
    sent_at: float = 0.0
    """For a watch: `at` as the API server wrote it. Its clock may be ahead: then `at` is the receipt, another one for each stage."""
    via: str = ""
    """The managed cluster's log that it came by (a key of LOGS); "": from the API server itself."""
    lag_s: float = 0.0
    """How much later than the API server's own this log may bring it: so much longer it is live."""
