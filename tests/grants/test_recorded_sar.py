"""Twenty thousand answers of a real API server, answered alike, each naming the binding that the server named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from actors.cluster.records import Binding, Role
from actors.cluster.source import load_file
from actors.grants import Grants, answer_queries

RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "apiserver"


def begins(kind: str, name: str, namespace: str | None) -> str:
    """How the server's reason begins: the binding's name first, quoted as Go's %q does."""
    return f"RBAC: allowed by {kind} {json.dumps(f'{name}/{namespace}' if namespace else name, ensure_ascii=False)} of "


@pytest.mark.slow
@pytest.mark.skipif(
    not (RECORDED / "sar.jsonl.gz").exists(), reason="the recording of an API server is not beside the project"
)
def test_subject_access_reviews() -> None:
    """Allowed or not as the server said, and the binding of its reason is among the grants."""
    grants = Grants()
    for each in load_file(RECORDED / "rbac.json").objects:
        if isinstance(each, (Role, Binding)):
            grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
    asked = [json.loads(line) for line in gzip.decompress((RECORDED / "sar.jsonl.gz").read_bytes()).splitlines()]
    lines = [
        json.dumps({key: each[key] for key in ("account", "verb", "namespace", "name")}).encode() for each in asked
    ]
    answers = [json.loads(line) for line in answer_queries(grants, lines)]
    assert [each["allowed"] for each in asked] == [each["allowed"] for each in answers]
    unnamed = [
        question
        for question, answer in zip(asked, answers, strict=True)
        if question["allowed"]
        and not any(question["reason"].startswith(begins(**grant["binding"])) for grant in answer["grants"])
    ]
    assert unnamed == []
