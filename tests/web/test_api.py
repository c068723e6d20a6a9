"""The JSON API and the event stream: shapes, filters, refusals, parts that do not answer; over the app, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import web_stand_ins as w
from trio_run import run

from actors.engine.queries import ChainsQuery, EvidenceQuery
from actors.runtime import ActorCrashed, ActorDead, AskTimeout, MailboxFull
from web.dashboard import make_dashboard
from web.gate import Access
from web.sources import Sources


def get(
    path: str, sources: Sources | None = None, method: str = "GET", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """(status, JSON or text, headers) of one request."""

    async def main() -> tuple[int, Any, dict[str, str]]:
        client = make_dashboard(sources or w.made_up(), Access()).test_client()
        answer = await client.open(path, method=method, headers={"Host": "localhost", **headers})
        body = await answer.get_data()
        is_json = body and answer.headers.get("Content-Type") == "application/json"
        return (
            answer.status_code,
            json.loads(body) if is_json else body.decode(),
            {name.title(): value for name, value in answer.headers.items()},
        )

    return run(main)


def test_chains_as_the_contract_has_them():
    """The list holds revision, feed, chains and cursor, and a chain the contract's fields."""
    status, answer, headers = get("/api/chains")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (answer["revision"], answer["next_cursor"], len(answer["chains"])) == (41, None, 4)
    assert answer["feed"] == {"state": "live", "last_batch_at": "2027-01-15T07:59:57.000000Z"}
    first = answer["chains"][0]
    assert first["entry"]["exposure"] == "internet"
    assert first["grant"]["binding"] == {"kind": "RoleBinding", "namespace": "app", "name": "read-db-creds"}
    assert (first["corroboration"], first["corroborated_by"]) == ("proven", ["read"])
    assert first["evidence"][0]["behavior"] == {"kind": "secret_read", "secret": "app/db-creds", "source": "api"}


def test_one_chain_and_none():
    """A chain is found by its id; an unknown id is 404 with words."""
    assert get("/api/chains/c2")[1]["objective"] == {"namespace": None, "name": None}
    assert get("/api/chains/nope")[:2] == (404, {"error": "no chain has this id"})


def test_secret():
    """Readers, mounting workloads and evidence of one Secret."""
    status, answer, _ = get("/api/secrets/app/db-creds")
    assert (status, answer["secret"]) == (200, {"namespace": "app", "name": "db-creds"})
    assert answer["readers"][0]["chains"] == ["c1"]
    assert answer["mounted_by"] == [{"kind": "Deployment", "namespace": "app", "name": "api"}]


def test_status_as_the_contract_has_it():
    """Counts, window, senders and objects, from three parts."""
    answer = get("/api/status")[1]
    assert answer["uptime_s"] == 4210.5
    assert answer["counts"]["dropped"] == {"not_allowed": 12, "not_secrets": 44019}
    assert answer["window"] == {"observations": 77, "capacity": 100_000}
    assert answer["objects"]["Pod"] == {"count": 212, "synced": True, "age_s": 4.0}
    assert answer["feed"]["senders"][0]["peer"] == "10.0.0.5"


def test_status_shows_the_heartbeat():
    """Its state and lag, and which sender brought it back; without one the field is absent."""
    answer = get("/api/status", w.made_up(heartbeat=w.beating()))[1]
    assert (answer["feed"]["heartbeat"]["state"], answer["feed"]["heartbeat"]["lag_s"]) == ("alive", 1.5)
    assert answer["feed"]["senders"][0]["heartbeat_at"] == "1970-01-01T00:16:41.000000Z"
    assert "heartbeat" not in get("/api/status")[1]["feed"]


def test_actors_as_the_contract_has_them():
    """The tree from its root, each with every field."""
    root = get("/api/actors")[1]["actors"][0]
    assert (root["path"], root["strategy"], root["children"][0]["strategy"]) == (
        "/protector",
        "one_for_one",
        "rest_for_one",
    )
    needed = {
        "path",
        "actor",
        "state",
        "strategy",
        "restarts",
        "incarnation",
        "uptime_s",
        "mailbox",
        "handled",
        "failed",
    }
    needed |= {"wait_ms", "handle_ms", "last_failure", "children"}
    assert needed <= set(root)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ChainsQuery()),
        ("corroborated=true", ChainsQuery(corroborated=True)),
        ("live=false", ChainsQuery(corroborated=False)),
        ("namespace=app&exposure=internet", ChainsQuery(namespace="app", exposure="internet")),
        ("secret=app/db%2ecreds", ChainsQuery(secret=("app", "db.creds"))),
        ("account=app/x&signal=burst", ChainsQuery(account=("app", "x"), signal="burst")),
        ("limit=1000&cursor=3", ChainsQuery(limit=1000, cursor="3")),
    ],
)
def test_filters_reach_the_engine(query, expected):
    """Each filter becomes the field of the question that it is about."""
    sources = w.made_up()
    assert get(f"/api/chains?{query}", sources)[0] == 200
    assert sources.engine.asked == [expected]


def test_evidence_filters_reach_the_engine():
    """Evidence takes the filters that apply to it."""
    sources = w.made_up()
    assert get("/api/evidence?live=true&secret=a/b&limit=5", sources)[0] == 200
    assert sources.engine.asked == [EvidenceQuery(live=True, secret=("a", "b"), limit=5)]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        # unknown parameters
        ("/api/chains?corroboratd=true", "corroboratd"),
        ("/api/evidence?corroborated=true", "corroborated"),
        ("/api/chains/c1?secret=a/b", "secret"),
        ("/api/status?x=", "x"),
        ("/api/events?token=t", "token"),
        # bad values
        ("/api/chains?corroborated=yes", "corroborated"),
        ("/api/chains?exposure=public", "exposure"),
        ("/api/chains?secret=db-creds", "secret"),
        ("/api/chains?secret=a/b/c", "secret"),
        ("/api/chains?account=/b", "account"),
        ("/api/chains?namespace=", "namespace"),
        ("/api/chains?signal=loud", "signal"),
        ("/api/chains?limit=0", "limit"),
        ("/api/chains?limit=1001", "limit"),
        ("/api/chains?limit=%D9%A1", "limit"),  # a digit, in Arabic
        ("/api/chains?limit=1&limit=2", "limit"),
        ("/api/chains?live=true&corroborated=false", "live"),
        # cursors
        ("/api/chains?cursor=never-given", "cursor"),
        ("/api/evidence?cursor=never-given", "cursor"),
        ("/api/chains?cursor=", "cursor"),
        ("/api/chains?" + "&".join(f"a{n}=1" for n in range(40)), "parameters"),
    ],
)
def test_bad_parameters_are_named(path, named):
    """A parameter that is unknown or malformed is answered with 400 and a text that names it."""
    status, answer, _ = get(path)
    assert status == 400
    assert named in answer["error"]


def test_error_text_is_escaped_and_short():
    """What a client sent comes back cut and without a raw control character."""
    status, answer, _ = get("/api/chains?namespace=" + "%1b%5b31m%0a" + "x" * 3000)
    assert status == 400
    assert answer["error"].isprintable()
    assert len(answer["error"]) < 200


def test_paging_finds_every_item_once():
    """Following next_cursor gives all chains, each once."""
    sources = w.made_up([w.chain(f"c{n}") for n in range(7)])
    found, cursor = [], ""
    while cursor is not None:
        answer = get(f"/api/chains?limit=3{cursor and '&cursor='}{cursor}", sources)[1]
        found += [c["id"] for c in answer["chains"]]
        cursor = answer["next_cursor"]
    assert found == [f"c{n}" for n in range(7)]


@pytest.mark.parametrize("error", [AskTimeout("x"), ActorCrashed("x"), ActorDead("x"), MailboxFull("x")])
@pytest.mark.parametrize("path", ["/api/chains", "/api/chains/c1", "/api/evidence", "/api/secrets/a/b", "/api/status"])
def test_part_that_does_not_answer(path, error):
    """An engine that cannot answer makes a 503 that names it and says when to come again."""
    sources = w.made_up()
    sources.engine.answers = dict.fromkeys(sources.engine.answers, error)
    status, answer, headers = get(path, sources)
    assert (status, headers["Retry-After"]) == (503, "2")
    assert "engine" in answer["error"]


def test_unknown_paths_and_methods_are_json():
    """Under /api also 404 and 405 are JSON; nothing but GET and HEAD is allowed."""
    assert get("/api/nothing")[0] == 404
    assert "error" in get("/api/nothing")[1]
    assert [get("/api/chains", method=m)[0] for m in ("POST", "PUT", "DELETE", "OPTIONS")] == [405] * 4
    assert get("/api/chains", method="HEAD")[0] == 200


def test_names_are_text_in_json():
    """Control characters that a client chose are escaped by JSON itself."""

    async def main() -> bytes:
        seen = [w.evidence(user_agent="<script>\x1b[31m\n")]
        client = make_dashboard(w.made_up(seen=seen), Access()).test_client()
        return await (await client.get("/api/evidence", headers={"Host": "localhost"})).get_data()

    raw = run(main)
    assert b"\x1b" not in raw
    assert b"\n" not in raw


async def _stream(sources: Sources, last_id: str | None, chunks: int) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Headers and the first chunks of /api/events, by ASGI; ends when `chunks` came, or the stream did."""
    headers: list[tuple[bytes, bytes]] = [(b"host", b"localhost")]
    if last_id is not None:
        headers.append((b"last-event-id", last_id.encode()))
    scope = {
        "type": "http", "asgi": {}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/api/events",
        "raw_path": b"/api/events", "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "extensions": {},
    }  # fmt: skip
    started: list[tuple[bytes, bytes]] = []
    got: list[bytes] = []
    enough = trio.Event()

    async def receive() -> dict[str, Any]:
        if not sent_body:
            sent_body.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.extend(message["headers"])
        elif message.get("body"):
            got.append(message["body"])
            if len(got) >= chunks:
                enough.set()

    sent_body: list[bool] = []
    await make_dashboard(sources, Access()).asgi_app(scope, receive, send)
    return started, got


def test_stream_greets_at_once_then_tells_events():
    """Headers and a first comment come without an event; then what is published, with id, name and data."""
    sources = w.made_up()

    async def main() -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            return await _stream(sources, None, 2)

    async def publish() -> None:
        await trio.sleep(1)
        sources.hub.publish("chain.corroborated", '{"chain":"c1"}')

    headers, chunks = run(main)
    assert (b"content-type", b"text/event-stream") in headers
    assert chunks == [b": protector\nretry: 3000\n\n", b'id: t-1\nevent: chain.corroborated\ndata: {"chain":"c1"}\n\n']


def test_stream_replays_after_last_event_id():
    """A client that comes back with its last id gets what it missed."""
    sources = w.made_up()

    async def main() -> list[bytes]:
        for n in range(3):
            sources.hub.publish("chain.expired", str(n))
        return (await _stream(sources, "t-1", 3))[1]

    assert [c.split(b"\n")[0] for c in run(main)[1:]] == [b"id: t-2", b"id: t-3"]


def test_stream_lives_beyond_a_minute_and_ends_with_the_hub():
    """A silent stream gets heartbeats and is not cut by the framework's timeout; closing the hub ends it and frees its place."""
    sources = w.made_up()

    async def main() -> tuple[int, float, int]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close_later)
            _, chunks = await _stream(sources, None, 100)
            return len(chunks), trio.current_time(), sources.hub.statistics().subscribers

    async def close_later() -> None:
        await trio.sleep(100)
        sources.hub.close()

    beats, ended_at, subscribers = run(main)
    assert (beats, ended_at, subscribers) == (1 + 6, 100.0, 0)


def test_stream_gives_its_place_back_when_the_client_leaves():
    """A client that goes away leaves no subscriber behind."""
    sources = w.made_up()
    run(_stream, sources, None, 1)
    assert sources.hub.statistics().subscribers == 0


def test_streams_are_bounded():
    """Over the bound a stream is refused with 503, and a HEAD takes no place."""
    from web.events import EventHub

    sources = w.made_up(hub=EventHub("t", subscribers_max=0))
    assert get("/api/events", sources)[0] == 503
    assert get("/api/events", w.made_up(), method="HEAD")[0] == 200
