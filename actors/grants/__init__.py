"""RBAC for reading Secrets, and for what leads to them, as Kubernetes evaluates it: which binding lets which account. Pure, no actor.

Imports the records of `cluster` and `evidence`, nothing else of ours.
"""

from __future__ import annotations

from actors.grants.access import (
    BadQuery,
    Reader,
    access_of,
    answer_queries,
    parse_account,
    readers_of,
)
from actors.grants.escalation import EDGES, ESCALATIONS_MAX, Edge, Escalation, Through, escalations_of
from actors.grants.grant import TOLERANCE_S, Grant
from actors.grants.index import Grants, GrantsStatistics
from actors.grants.powers import Power, Right, compile_powers
from actors.grants.rules import READ_VERBS, SecretRule, compile_rules
from actors.grants.subjects import Concerned, concerned_by
from actors.grants.usage import NarrowRole, NarrowRule, Unused, Use, by_account, narrowest, unused

__all__ = [
    "EDGES",
    "ESCALATIONS_MAX",
    "READ_VERBS",
    "TOLERANCE_S",
    "BadQuery",
    "Concerned",
    "Edge",
    "Escalation",
    "Grant",
    "Grants",
    "GrantsStatistics",
    "NarrowRole",
    "NarrowRule",
    "Power",
    "Reader",
    "Right",
    "SecretRule",
    "Through",
    "Unused",
    "Use",
    "access_of",
    "answer_queries",
    "by_account",
    "compile_powers",
    "compile_rules",
    "concerned_by",
    "escalations_of",
    "narrowest",
    "parse_account",
    "readers_of",
    "unused",
]
