"""Events about other things, as every cluster is full of: what a receiver has to drop, and to count.

Counterpart: story.py, whose scenes say how much of it there is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from actors.testing.cast import Cast
from actors.testing.events import AuditEvent, Caller, Request, events_of, new_id, person_caller

__all__ = ["noise_events"]

_OTHER: Final = (("list", "pods", ""), ("get", "configmaps", ""), ("watch", "endpointslices", "discovery.k8s.io"))
"""What pods ask for besides Secrets; nodes renew their leases."""


def noise_events(cast: Cast, count: int, now: float, chance: random.Random, *, received: bool) -> Iterator[AuditEvent]:
    """Requests about other things, as every cluster is full of: exactly `count` items."""
    made = 0
    while made < count:
        caller: Caller
        if chance.random() < 0.5 and (nodes := cast.nodes()):
            node = chance.choice(nodes)
            caller = person_caller(
                f"system:node:{node}",
                ("system:nodes", "system:authenticated"),
                certificate=f"{chance.getrandbits(256):064x}",
                ip="127.0.0.1",
                user_agent="kubelet/v1.35.4 (linux/amd64)",
            )
            verb, resource, group, namespace, name = "update", "leases", "coordination.k8s.io", "kube-node-lease", node
        else:
            account, caller = cast.caller(chance.choice(cast.workloads))
            verb, resource, group = chance.choice(_OTHER)
            namespace, name = account.namespace, "settings" if verb == "get" else ""
        request = Request(
            caller=caller,
            verb=verb,
            namespace=namespace,
            name=name or None,
            at=now,
            audit_id=new_id(chance),
            resource=resource,
            api_group=group,
            watch_s=300 if verb == "watch" else None,
        )
        for event in events_of(request, received=received, complete=verb != "watch")[: count - made]:
            made += 1
            yield event
