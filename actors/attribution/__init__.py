"""Attribution: whose reads these are. Pure core, one actor per ServiceAccount, and the router that starts them."""

from __future__ import annotations

from actors.attribution.account import AccountActor
from actors.attribution.core import attribute
from actors.attribution.roster import PODS_SHOWN_MAX, Roster
from actors.attribution.router import RouterActor, account_key, account_of
from actors.attribution.state import AccountEvidence, AccountStatistics

__all__ = [
    "PODS_SHOWN_MAX",
    "AccountActor",
    "AccountEvidence",
    "AccountStatistics",
    "Roster",
    "RouterActor",
    "account_key",
    "account_of",
    "attribute",
]
