"""What is known of the cluster: pods, owners, accounts, RBAC, Services and routes. Deliberately light.

`grants` imports `actors.cluster.records`, which runs this file: so nothing here but the records. Import the rest where it is:
`source.load_file` reads a file into a Snapshot, `model.ClusterModel` joins objects, `actor.ClusterActor` answers for them.
"""

from __future__ import annotations

from actors.cluster.records import (
    Binding,
    KnownSecret,
    LabelRequirement,
    MountedSecret,
    OwnerName,
    Pod,
    Record,
    RecordKey,
    Role,
    Route,
    Rule,
    Service,
    ServiceAccount,
    Subject,
)

__all__ = [
    "Binding",
    "KnownSecret",
    "LabelRequirement",
    "MountedSecret",
    "OwnerName",
    "Pod",
    "Record",
    "RecordKey",
    "Role",
    "Route",
    "Rule",
    "Service",
    "ServiceAccount",
    "Subject",
]
