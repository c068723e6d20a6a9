"""SARIF 2.1.0 of a replay: each corroborated chain, and each read that belongs to none, as a result. Pure.

What is expected is a result too, suppressed with the entry's reason as its justification: whoever reads the file decides. Locations are
logical (workload, account, binding); the physical one is the snapshot by its file name, since some consumers want one.
Source: OASIS SARIF 2.1.0, sections 3.13 to 3.49. Counterpart: web/replay.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from actors.engine.queries import ChainView, EvidenceView, NameView, ObjectView

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

RULES: Final = {
    "chain-proven": (
        "SecretReadProven",
        "A workload read Secrets, and the API server named the binding that allowed it.",
        "Cut the binding if the workload does not need it; rotate what it read if the read was not meant.",
    ),
    "chain-possible": (
        "SecretReadPossible",
        "A workload read Secrets, and this binding allows that read too.",
        "It must be cut as well to cut the access.",
    ),
    "read-without-chain": (
        "SecretReadWithoutChain",
        "A ServiceAccount read Secrets, and no known workload and grant explain it.",
        "See its signals: the pod is gone or unknown, no pod runs as the account, or no grant that is known covers it.",
    ),
}
"""Rule id -> name, what it says, what to do."""


def sarif_of(
    chains: Sequence[ChainView], loose: Sequence[EvidenceView], version: str, snapshots: Sequence[str]
) -> dict[str, Any]:
    """The document. `chains`: the corroborated ones; `loose`: evidence without a chain; `snapshots`: names of the cluster files."""
    artifact = quote(Path(snapshots[-1]).name) if snapshots else "cluster"
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "protector", "version": version, "rules": [_rule(id_) for id_ in RULES]}},
                "columnKind": "unicodeCodePoints",
                "results": [
                    *(_chain_result(chain, artifact) for chain in chains),
                    *(_loose_result(piece, artifact) for piece in loose),
                ],
            }
        ],
    }


def write_sarif(document: dict[str, Any]) -> str:
    """The text of the document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _rule(id_: str) -> dict[str, Any]:
    name, text, help_ = RULES[id_]
    return {
        "id": id_,
        "name": name,
        "shortDescription": {"text": text},
        "help": {"text": help_},
        "properties": {"tags": ["security", "T1552"]},
    }


def _chain_result(chain: ChainView, artifact: str) -> dict[str, Any]:
    id_ = f"chain-{chain.corroboration}"
    entry, grant = chain.entry, chain.grant
    workload = ObjectView(entry.kind, entry.namespace, entry.name)
    account = "" if chain.service_account is None else f" as {_name(chain.service_account)}"
    by = "" if grant is None else f" by {_object(grant.binding)} of {_object(grant.role)}"
    signals = sorted({signal for piece in chain.evidence for signal in piece.signals})
    logical = [_logical(workload)] + ([] if grant is None else [_logical(grant.binding)])
    reasons = sorted({piece.expected for piece in chain.evidence if piece.expected is not None})
    return _result(
        id_,
        "error" if chain.corroboration == "proven" and entry.exposure == "internet" else "warning",
        f"{_object(workload)}{account} read {_name(chain.objective)}{by}; exposure: {entry.exposure}"
        + (f"; signals: {', '.join(signals)}" if signals else ""),
        _locations(artifact, logical),
        {"chainId/v1": chain.id},
        {"exposure": entry.exposure, "corroboration": chain.corroboration, "signals": signals, "chain": chain.id},
        None if chain.open else "; ".join(reasons) or "expected",
    )


def _loose_result(piece: EvidenceView, artifact: str) -> dict[str, Any]:
    account, secret = _name(piece.service_account), _name(piece.secret)
    logical = [
        _logical(ObjectView("ServiceAccount", piece.service_account.namespace, piece.service_account.name or ""))
    ]
    return _result(
        "read-without-chain",
        "warning",
        f"ServiceAccount {account} made a {piece.verb} of {secret} ({piece.attribution})"
        + (f"; signals: {', '.join(piece.signals)}" if piece.signals else ""),
        _locations(artifact, logical),
        {"readKey/v1": f"{account} {piece.verb} {secret} {piece.attribution}"},
        {"attribution": piece.attribution, "signals": piece.signals},
        piece.expected,
    )  # fmt: skip


def _result(
    rule: str,
    level: str,
    text: str,
    locations: list[dict[str, Any]],
    fingerprints: dict[str, str],
    properties: dict[str, Any],
    expected: str | None,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "level": level,
        "message": {"text": text},
        "locations": locations,
        "partialFingerprints": fingerprints,
        "properties": properties,
    }
    if expected is not None:
        made["suppressions"] = [{"kind": "external", "justification": expected}]
    return made


def _locations(artifact: str, logical: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"physicalLocation": {"artifactLocation": {"uri": artifact}}, "logicalLocations": logical}]


def _logical(thing: ObjectView) -> dict[str, Any]:
    return {"name": thing.name, "fullyQualifiedName": _object(thing), "kind": "resource"}


def _object(thing: ObjectView) -> str:
    return "/".join(part for part in (thing.kind, thing.namespace, thing.name) if part)


def _name(name: NameView) -> str:
    if name.namespace is None and name.name is None:
        return "*"
    return f"{name.namespace or '*'}/{name.name or '*'}"
