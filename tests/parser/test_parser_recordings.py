"""The parser over what a real API server posted (../shared/data, not part of this project; its absence skips this file)."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_events import RECEIVED_AT

from actors.messages import ParsedBatch
from actors.parser import parse_body
from actors.parser.core import _take_parts
from actors.parser.tally import Tally

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the recordings of a real API server are not beside this project"
)
LATER = RECEIVED_AT + 86_400.0


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def bodies(folder: str) -> Iterator[bytes]:
    for path in sorted((DATA / folder).glob("*.json*")):
        yield content(path)


def is_read(item: dict[str, Any]) -> bool:
    """The rule of design 2.1, said again in other words."""
    ref, status, stages = item.get("objectRef", {}), item.get("responseStatus", {}), ["ResponseComplete"]
    if item["verb"] == "watch":
        stages.append("ResponseStarted")
    return (
        item["verb"] in ("get", "list", "watch")
        and ref.get("resource") == "secrets"
        and not {"apiGroup", "subresource"} & ref.keys()
        and item.get("annotations", {}).get("authorization.k8s.io/decision") == "allow"
        and re.fullmatch(r"system:serviceaccount:[^:]+:[^:]+", item["user"].get("username", "")) is not None
        and "impersonatedUser" not in item
        and status.get("code", 200) // 100 == 2
        and item["stage"] in stages
    )


def check(batch: ParsedBatch, items: list[dict[str, Any]]) -> None:
    """All items are found; the reads are those of the rule, in their order."""
    reads = [read.audit_id for read in batch.reads if not (read.borrowed or read.ends_only)]
    expected = [item["auditID"] for item in items if is_read(item)]
    assert (len(items), expected, len(items) - len(expected)) == (batch.events, reads, sum(batch.dropped.values()))


@pytest.mark.parametrize(
    "folder", ["apiserver/batches", "apiserver/with-values/batches", "apiserver/real-operator/batches"]
)
def test_every_batch_of_a_real_api_server_is_read(folder: str) -> None:
    """Whole, and part by part with the same result; what the recorder cut is cut here, too."""
    cut = 0
    for body in bodies(folder):
        batch = parse_body(body, LATER)
        tally = Tally(LATER)
        error = _take_parts(body, 0, len(body), tally)
        assert (batch.reads, batch.dropped, batch.events, batch.error) == (
            tuple(tally.reads),
            tally.dropped,
            tally.events,
            error,
        )
        if batch.error is not None:
            cut += 1
            continue
        check(batch, json.loads(body)["items"])
    assert cut <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["audit-secrets.log.gz", "audit-everything.log.gz", "real-operator/audit-operator.log.gz"]
)
def test_every_line_of_a_real_audit_log_is_read(name: str) -> None:
    """The file backend's JSON lines, as one body."""
    body = content(DATA / "apiserver" / name)
    batch = parse_body(body, LATER)
    assert batch.error is None
    check(batch, [json.loads(line) for line in body.splitlines()])


def test_every_reason_of_a_real_api_server_is_understood() -> None:
    """Each read whose reason begins as RBAC's allowances do names a grant, and the name is in the reason's own words."""
    unread = 0
    for body in bodies("apiserver/batches"):
        if parse_body(body, LATER).error is not None:
            continue
        reasons = {
            i["auditID"]: i["annotations"].get("authorization.k8s.io/reason", "")
            for i in json.loads(body)["items"]
            if is_read(i)
        }
        unread += sum(
            r.named is None and reasons[r.audit_id].startswith("RBAC: allowed by ")
            for r in parse_body(body, LATER).reads
            if not (r.borrowed or r.ends_only)
        )
    assert unread == 0


def test_borrowed_reads_of_a_real_api_server_are_kept_apart() -> None:
    """The recordings hold allowed reads that accounts made as somebody else."""
    batches = [parse_body(body, LATER) for body in bodies("apiserver/batches")]
    borrowed = [read for batch in batches for read in batch.reads if read.borrowed and not read.ends_only]
    assert len(borrowed) == sum(_impersonating_accounts(body) for body in bodies("apiserver/batches"))


def _impersonating_accounts(body: bytes) -> int:
    if parse_body(body, LATER).error is not None:
        return 0
    items = json.loads(body)["items"]
    return sum(
        "impersonatedUser" in i and is_read({k: v for k, v in i.items() if k != "impersonatedUser"}) for i in items
    )


def test_no_value_of_a_real_secret_comes_out() -> None:
    """Batches full of values: whole, cut in half, and poisoned."""
    marks = ("CANARY-", "Q0FOQVJZL")
    seen, leaks = 0, []
    for body in bodies("apiserver/with-values/batches"):
        seen += any(mark.encode() in body for mark in marks)
        for sent in (body, body[: len(body) // 2], body.replace(b'"verb":"list"', b'"verb":7')):
            text = repr(parse_body(sent, LATER))
            leaks += [mark for mark in marks if mark in text]
    assert (seen > 0, leaks) == (True, [])


def test_what_others_recorded_is_read_without_a_fault() -> None:
    """Events of many years and makers; none of them is an allowed read of a Secret by an account."""
    paths = [
        *(DATA / "falco").glob("*.json"),
        DATA / "audit2rbac" / "demo.log",
        DATA / "benign-installs" / "secret-reads.jsonl",
    ]
    batches = [parse_body(content(path), LATER) for path in paths if path.exists()]
    assert (
        len(batches) > 40,
        [read for batch in batches for read in batch.reads if not (read.borrowed or read.ends_only)],
    ) == (True, [])


def test_admission_reviews_are_no_events() -> None:
    """What arrives when the wrong webhook is pointed here."""
    batch = parse_body(content(DATA / "not-audit" / "admission-reviews.log"), LATER)
    assert (batch.events, batch.reads, batch.error is not None) == (0, (), True)
