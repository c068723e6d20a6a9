"""Twenty thousand answers of a real API server, answered alike by `protector access` and by the engine's own model.

Each names the binding that the server named. One evaluator stands behind both; here each is asked on its own way.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from naive_rbac import naive_can

from actors.cluster.records import Binding, Role
from actors.cluster.source import load_file
from actors.engine import Engine
from actors.evidence import Account, Read, Scope
from actors.grants import Right
from web.access import run_access
from web.snapshots import grants_of, model_of

RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "apiserver"
CLUSTER = RECORDED / "rbac.json"
NOW = 1_800_000_000.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (RECORDED / "sar.jsonl.gz").exists(), reason="the recording of an API server is not beside the project"
    ),
]
Named = set[tuple[str, str | None, str]]
"""Bindings: kind, namespace, name."""


def asked() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress((RECORDED / "sar.jsonl.gz").read_bytes()).splitlines()]


def begins(kind: str, namespace: str | None, name: str) -> str:
    """How the server's reason begins: the binding's name first, quoted as Go's %q does."""
    return f"RBAC: allowed by {kind} {json.dumps(f'{name}/{namespace}' if namespace else name, ensure_ascii=False)} of "


def disagreements(questions: list[dict[str, Any]], answers: list[Named]) -> list[dict[str, Any]]:
    """The questions that were answered otherwise than by the server, or without the binding that it named."""
    return [
        question
        for question, named in zip(questions, answers, strict=True)
        if question["allowed"] != bool(named)
        or (question["allowed"] and not any(question["reason"].startswith(begins(*each)) for each in named))
    ]


def test_access_answers_as_the_server_did() -> None:
    """The command's own path: file in, JSON lines in, JSON lines out, in order."""
    questions = asked()
    lines = [{key: each[key] for key in ("account", "verb", "namespace", "name")} for each in questions]
    out = io.StringIO()
    queries = io.BytesIO(b"\n".join(json.dumps(line).encode() for line in lines))
    run_access([CLUSTER], account=None, secret=None, queries=queries, out=out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [each["allowed"] for each in questions] == [each["allowed"] for each in answers]
    named: list[Named] = [
        {(g["binding"]["kind"], g["binding"]["namespace"], g["binding"]["name"]) for g in each["grants"]}
        for each in answers
    ]
    assert disagreements(questions, named) == []


def test_the_engine_holds_the_same_of_every_request() -> None:
    """What would light chains: for each request as a read, the grants that the engine finds allow it."""
    engine = Engine()
    engine.apply_records(model_of([CLUSTER], now=NOW).records(), full=True, now=NOW)
    questions = asked()
    answers: list[Named] = []
    for each in questions:
        account = Account(*each["account"].split("/"))
        read = Read(account, Scope(each["namespace"], each["name"]), each["verb"], NOW, NOW)
        rows = engine.graph.account(account).ways(read).rows
        assert all(keys for keys in engine.graph.account(account).ways(read).keys), "a grant without a chain to light"
        answers.append({(r.grant.binding.kind, r.grant.binding.namespace, r.grant.binding.name) for r in rows})
    assert disagreements(questions, answers) == []


def test_powers_are_what_the_naive_evaluator_allows() -> None:
    """Of the recorded roles, a thousand random ones among them: each right of each account is found, and no other."""
    model = model_of([CLUSTER], now=NOW)
    grants = grants_of(model)
    objects = load_file(CLUSTER).objects
    roles = [each for each in objects if isinstance(each, Role)]
    bindings = [each for each in objects if isinstance(each, Binding)]
    namespaces = sorted({b.name.namespace for b in bindings if b.name.namespace is not None})[:3]
    accounts = sorted(grants.named_accounts())[::150]
    for account in accounts:
        held = grants.held_by(account)
        for right in Right:
            for where in [None, *namespaces]:
                found = {
                    verb for g in held if g.reaches(where) for p in g.powers if p.right is right and p.names is None for verb in p.verbs
                }  # fmt: skip
                what = f"{right.group}:{right.resource}"
                expected = {v for v in right.verbs if naive_can(roles, bindings, account, v, what, where, "\x00")}
                nameless = {
                    v
                    for v in right.nameless & set(right.verbs)
                    if naive_can(roles, bindings, account, v, what, where, None)
                }
                assert (expected | nameless) == found, (account, right, where)
