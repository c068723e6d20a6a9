"""The types and wire contracts of evidence: reads, behaviors, observations, attribution. Pure data; imports nothing of ours."""

from __future__ import annotations

from actors.evidence.names import (
    LABEL_MAX,
    NAME_MAX,
    Account,
    ObjectName,
    PodClaim,
    Scope,
    Workload,
    is_namespace_name,
    is_object_name,
)
from actors.evidence.observation import (
    Attribution,
    Evidence,
    NamedGrant,
    Observation,
    ObservationKey,
    Signal,
    observation_key,
)
from actors.evidence.read import GrantName, Read, Verb

__all__ = [
    "LABEL_MAX",
    "NAME_MAX",
    "Account",
    "Attribution",
    "Evidence",
    "GrantName",
    "NamedGrant",
    "ObjectName",
    "Observation",
    "ObservationKey",
    "PodClaim",
    "Read",
    "Scope",
    "Signal",
    "Verb",
    "Workload",
    "is_namespace_name",
    "is_object_name",
    "observation_key",
]
