"""What `protector doctor` says of a running server's feed and cluster. Pure; counterparts: doctor.py, /api/status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from web.expected_checks import Finding

LATE_S: Final = 10.0
"""A lag above this comes from --audit-webhook-batch-max-wait, which is 30 s unless it is set."""
STALE_S: Final = 180.0
"""A kind of which nothing was heard for so long: bookmarks come about once a minute."""

_FEED: Final = {
    "never": (
        "no batch ever arrived",
        "is the API server started with the webhook? see docs/how-to/point-an-api-server.md",
    ),
    "silent": (
        "no batch arrives any more",
        "look at apiserver_audit_error_total on the API server, and at this server's log",
    ),
}
_HEARTBEAT: Final = {
    "blind": (
        "protector's own denied requests do not come back",
        "put `protector audit-policy --rules-only` first into the audit policy; check that this API server's webhook leads here",
    ),
    "unusable": ("the heartbeat proves nothing", "run it with the account of `protector manifests`"),
    "unreachable": (
        "the heartbeat does not reach the API server",
        "check the address, the CA and the token of its account",
    ),
}


def feed_findings(status: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the feed, of an answer of /api/status."""
    feed = status["feed"]
    found = [Finding(*_FEED[feed["state"]])] if feed["state"] in _FEED else []
    beat = feed.get("heartbeat")
    if beat is not None and beat["state"] in _HEARTBEAT:
        what, hint = _HEARTBEAT[beat["state"]]
        found.append(Finding(f"{what} ({beat['why']})" if beat["why"] else what, hint))
    if beat is not None and beat["state"] == "alive" and (beat["lag_s"] or 0.0) > LATE_S:
        found.append(
            Finding(
                f"events arrive {beat['lag_s']:.0f} s late",
                "start the API server with --audit-webhook-batch-max-wait=1s",
            )
        )
    found += [
        Finding(f"the clock of {sender['peer']} is {sender['skew_s']:.0f} s ahead", "keep clocks by NTP")
        for sender in feed["senders"]
        if abs(sender["skew_s"] or 0.0) > LATE_S
    ]
    return found


def cluster_findings(status: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with what is known of the cluster."""
    found = []
    failing: dict[str, list[str]] = {}  # the API server is away from all kinds at once, for one and the same reason
    if not status["objects"]:
        found.append(Finding("nothing is known of the cluster", "set PROTECTOR_CLUSTER to kubernetes or to a file"))
    for kind, known in sorted(status["objects"].items()):
        state, why = known.get("state", "read"), known.get("why", "")
        if state == "forbidden":
            found.append(Finding(f"{kind}: {why}", "apply the ClusterRole of `protector manifests`"))
        elif state == "failing":
            failing.setdefault(why, []).append(kind)
        elif state in ("listing", "waiting") and not known["synced"]:
            found.append(Finding(f"{kind}: not read to its end yet", "wait; if it stays, look at the log"))
        elif state == "watching" and (known["age_s"] or 0.0) > STALE_S:
            found.append(Finding(f"{kind}: nothing heard for {known['age_s']:.0f} s", "look at the log"))
    hint = "is the API server up, and reachable from here?"
    return found + [Finding(f"{', '.join(kinds)}: {why}", hint) for why, kinds in failing.items()]
