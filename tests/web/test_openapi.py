"""docs/openapi.yaml is held against the records that answers are made of, and against answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import web_stand_ins as w
import yaml
from trio_run import run

from actors.engine.queries import LIMIT_DEFAULT, LIMIT_MAX
from actors.grants import EDGES
from actors.runtime import ActorSnapshot, Crash, DeadLetter, DeadLetterStatistics
from web.answers import ANSWERS
from web.dashboard import make_dashboard
from web.gate import Access
from web.params import EXPOSURES, SIGNALS

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8")
)
SCHEMAS = DOCUMENT["components"]["schemas"]
TYPES = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
}  # fmt: skip
WRITTEN_OTHERWISE = {("Failure", "at"), ("Crash", "at"), ("DeadLetter", "at")}
"""Fields that are made RFC 3339 text on the way out."""


def followed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that this one is, or refers to."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return followed(found)


def faults(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """What of the value is not as the schema says. Knows what our document uses: type, enum, anyOf, properties, items."""
    schema = followed(schema)
    if "anyOf" in schema:
        tries = [faults(value, one, where) for one in schema["anyOf"]]
        return [] if [] in tries else min(tries, key=len)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    fits = [t for t in types if isinstance(value, TYPES[t]) and (t == "boolean" or not isinstance(value, bool))]
    if types and not fits:
        return [f"{where}: {value!r} is no {' or '.join(types)}"]
    found = [f"{where}: {value!r} is none of the enum"] if "enum" in schema and value not in schema["enum"] else []
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in properties:
                found += faults(item, properties[name], f"{where}.{name}")
            elif isinstance(others, dict):
                found += faults(item, others, f"{where}.{name}")
            elif not others:
                found.append(f"{where}: {name} is not described")
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += faults(item, schema.get("items", {}), f"{where}[{index}]")
    return found


def bare(schema: Any) -> Any:
    """The schema without what only the document says (words, enums, formats), in one spelling."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: bare(v) for k, v in schema.items() if k not in ("title", "description", "format", "default")}
    if "enum" in kept and all(isinstance(v, str | None) for v in kept["enum"]):
        kept.setdefault("type", "string")
        del kept["enum"]
    if kept.get("additionalProperties") is False:
        del kept["additionalProperties"]
    options = kept.get("anyOf")
    if options and all(set(one) == {"type"} for one in options):
        kept = {"type": [one["type"] for one in options]}
    if isinstance(kept.get("type"), list):
        kept["type"] = sorted(kept["type"])
    if isinstance(options := kept.get("anyOf"), list):
        kept["anyOf"] = sorted(options, key=str)
    return kept


@pytest.mark.parametrize(
    "record", [*ANSWERS, ActorSnapshot, Crash, DeadLetter, DeadLetterStatistics], ids=lambda record: record.__name__
)
def test_document_has_the_records(record):
    """Every record of an answer is in the document with the same fields, types, nulls and required ones."""
    _, components = msgspec.json.schema_components([record], ref_template="#/components/schemas/{name}")
    for name, schema in components.items():
        told, real = bare(SCHEMAS[name]), bare(schema)
        for owner, field in WRITTEN_OTHERWISE:
            if owner == name:
                told["properties"].pop(field), real["properties"].pop(field)
        assert told == real, name


@pytest.mark.parametrize(
    ("path", "asked", "expected_status"),
    [
        ("/api/chains", "/api/chains", 200),
        ("/api/chains", "/api/chains?limit=none", 400),
        ("/api/chains/{id}", "/api/chains/c2", 200),
        ("/api/chains/{id}", "/api/chains/c4", 200),  # mounted: no grant
        ("/api/chains/{id}", "/api/chains/nope", 404),
        ("/api/escalations", "/api/escalations", 200),
        ("/api/escalations", "/api/escalations?edge=none", 400),
        ("/api/escalations", "/api/escalations?cursor=x", 400),
        ("/api/secrets/{namespace}/{name}", "/api/secrets/app/db-creds", 200),
        ("/api/evidence", "/api/evidence", 200),
        ("/api/actors", "/api/actors", 200),
        ("/api/actors", "/api/actors?x=1", 400),
        ("/api/actors/{path}", "/api/actors/protector/pipeline/store", 200),
        ("/api/actors/{path}", "/api/actors/protector/nobody", 404),
        ("/api/actors/-/crashes", "/api/actors/-/crashes", 200),
        ("/api/actors/-/letters", "/api/actors/-/letters", 200),
        ("/api/actors/-/stack/{path}", "/api/actors/-/stack/protector/pipeline/store", 200),
        ("/api/status", "/api/status", 200),
        ("/readyz", "/readyz", 200),
    ],
)
def test_answers_are_as_described(path, asked, expected_status):
    """What is answered has nothing missing, nothing more, and nothing of another type than the document says."""

    async def main() -> tuple[int, Any]:
        client = make_dashboard(w.made_up(), Access()).test_client()
        answer = await client.get(asked, headers={"Host": "localhost"})
        return answer.status_code, json.loads(await answer.get_data())

    status, answer = run(main)
    assert status == expected_status
    described = followed(DOCUMENT["paths"][path]["get"]["responses"][str(status)])
    assert faults(answer, described["content"]["application/json"]["schema"]) == []


def test_checker_finds_faults():
    """The little checker itself sees a missing field, a foreign one, a wrong type and a wrong word."""
    good = {"state": "live", "last_batch_at": None}
    schema = {"$ref": "#/components/schemas/FeedView"}
    assert faults(good, schema) == []
    broken = ({"state": "live"}, good | {"more": 1}, good | {"last_batch_at": 3}, good | {"state": "on"})
    assert [len(faults(value, schema)) for value in broken] == [1, 1, 1, 1]


def test_every_path_is_described():
    """Every route beside the pages, the login and the static files is in the document, and every path there is a route."""
    rules = make_dashboard(w.made_up(), Access()).url_map.iter_rules()
    real = {
        str(rule).replace("<chain_id>", "<id>").replace("<path:", "{").replace("<", "{").replace(">", "}")
        for rule in rules
    }
    pages = {"/", "/chains/{id}", "/escalations", "/evidence", "/static/{name}"}
    assert set(DOCUMENT["paths"]) == {path for path in real - pages if not path.startswith("/actors")}


def test_parameters_are_as_they_are_parsed():
    """Enums and bounds of the parameters are the parser's."""
    parameters = {name: p["schema"] for name, p in DOCUMENT["components"]["parameters"].items()}
    assert parameters["signal"]["enum"] == list(SIGNALS)
    assert parameters["exposure"]["enum"] == list(EXPOSURES)
    assert parameters["edge"]["enum"] == list(EDGES)
    assert (parameters["limit"]["maximum"], parameters["limit"]["default"]) == (LIMIT_MAX, LIMIT_DEFAULT)
