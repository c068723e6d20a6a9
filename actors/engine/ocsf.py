"""The fields of a flip-log line that OCSF has a name for: a Detection Finding (class 2004) beside the line's own fields. Pure.

Source: the Open Cybersecurity Schema Framework 1.3.0: the class detection_finding, the objects finding_info, metadata, evidences,
resource_details and attack, the enumerations of severity_id, activity_id, status_id and confidence_id. Counterpart: announce.py.
"""

from __future__ import annotations

from typing import Any, Final

from actors.messages import Flip

VERSION: Final = "1.3.0"
CLASS_UID: Final = 2004
CATEGORY_UID: Final = 2
CREATE, CLOSE = 1, 3
NEW, RESOLVED = 1, 4
LOW, MEDIUM, HIGH = 2, 3, 4
CONFIDENCE_MEDIUM, CONFIDENCE_HIGH = 2, 3
PRODUCT: Final = {"name": "protector", "vendor_name": "protector"}
TITLES: Final = {
    "chain.corroborated": "A workload reads Secrets",
    "chain.expired": "A workload no longer reads Secrets",
    "read.unexplained": "A read of Secrets that no known grant covers",
}
ACTED_TITLES: Final = {
    "chain.corroborated": "A sensor reported a workload that reaches Secrets",
    "chain.expired": "What a sensor reported of a workload that reaches Secrets has ended",
}
ATTACKS: Final = [{"technique": {"uid": "T1552", "name": "Unsecured Credentials"}, "version": "16"}]


def severity_of(flip: Flip) -> int:
    """High: exposed to the internet, or a read that nothing explains; Low: possible only and not exposed; Medium: all else."""
    if flip.event == "read.unexplained" or flip.exposure == "internet":
        return HIGH
    return MEDIUM if flip.corroboration == "proven" or flip.signals else LOW


def ocsf_of(flip: Flip) -> dict[str, Any]:
    """The fields by their names in OCSF. An end closes the finding that its beginning opened: both have one uid."""
    ended = flip.event == "chain.expired"
    activity = CLOSE if ended else CREATE
    return {
        "activity_id": activity,
        "category_uid": CATEGORY_UID,
        "class_uid": CLASS_UID,
        "type_uid": CLASS_UID * 100 + activity,
        "time": int(flip.at * 1000),
        "severity_id": severity_of(flip),
        "status_id": RESOLVED if ended else NEW,
        "confidence_id": CONFIDENCE_MEDIUM if flip.corroboration == "possible" else CONFIDENCE_HIGH,
        "metadata": {"version": VERSION, "product": PRODUCT, "profiles": []},
        "finding_info": {"uid": flip.key, "title": _title(flip), "attacks": ATTACKS},
        "evidences": [{"actor": _actor(flip)}],
        "resources": [{"type": "Secret", "name": flip.secret}],
    }


def _title(flip: Flip) -> str:
    """Without a read, in words of its own: a workload that a sensor raised an alert about need not have read anything."""
    by = flip.corroborated_by
    if flip.chain is None or "read" in by or "mounted_read" in by:
        return TITLES[flip.event]
    return ACTED_TITLES[flip.event]


def _actor(flip: Flip) -> dict[str, Any]:
    if flip.service_account is not None:
        return {"user": {"name": flip.service_account.username}}
    return {"app_name": str(flip.workload)}
