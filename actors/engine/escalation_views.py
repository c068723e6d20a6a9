"""The answers about escalations, as queries.py has those about chains."""

from __future__ import annotations

from msgspec import Struct

from actors.engine.queries import EntryView, GrantNameView, NameView


class ReachedAccountView(Struct, frozen=True, gc=False):
    """Accounts that one gets hold of and that may read Secrets; name null: every account there, namespace null: everywhere."""

    service_account: NameView
    scopes: list[NameView]
    """What they may read, the first few."""


class EscalationView(Struct, frozen=True, gc=False):
    """One way to Secrets that is no read of one. Never corroborated: no event of a Secret shows that it was gone."""

    id: str
    entry: EntryView
    service_account: NameView
    reach: str
    edge: str
    technique: str
    verbs: list[str]
    names: list[str] | None
    """The pods, accounts or roles that it may be used on; null: every one."""
    namespace: str | None
    """Where; null: everywhere."""
    grants: list[GrantNameView]
    """The grant that gives it, then the one that it takes besides."""
    through: str
    objective: NameView | None
    """The Secrets that it leads to at once; null where it leads to pods or accounts."""
    accounts: list[ReachedAccountView]
    accounts_more: bool
    mounted: list[NameView]
    """Secrets that the pods it gets hold of mount."""
    mounted_more: bool
    latent: bool
    """Whether nothing that is known there leads on to a Secret now."""
    breach_relevant: bool


class EscalationPage(Struct, frozen=True):
    """A page of escalations, shorter than `limit` where filters let little through. `total` null: not counted under filters."""

    escalations: list[EscalationView]
    next_cursor: str | None
    total: int | None
