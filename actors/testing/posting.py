"""From what a test says to the bodies of POSTs, and an API server that posts them itself. Counterparts: session.py, protector.py."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from actors.parser import parse_body
from actors.testing.events import AuditEvent, as_dict, encode_batch
from actors.testing.sentences import Sentence
from actors.testing.session import Posted, Session

if TYPE_CHECKING:
    from actors.testing.apiserver import SenderOptions, SimulatedApiServer

__all__ = ["BATCH_EVENTS_MAX", "bodies_of", "disordered", "note", "run_api_server"]

BATCH_EVENTS_MAX: Final = 400
"""--audit-webhook-batch-max-size: a test's events are cut as kube-apiserver cuts them."""

Said = Sentence | AuditEvent | dict[str, Any] | bytes


def bodies_of(session: Session, said: tuple[Said, ...]) -> Iterator[bytes]:
    """The bodies, in the order of what was said."""
    events: list[AuditEvent | dict[str, Any]] = []
    for each in said:
        if isinstance(each, bytes):
            yield from _cut(session, events)
            events = []
            session.posted.append(Posted(session.now(), f"a body of {len(each)} bytes", _of_body(each, session.now())))
            yield each
        elif isinstance(each, Sentence):
            events += each.events(session.cluster, session.now(), session.chance)
        elif isinstance(each, AuditEvent | dict):
            events.append(each)
        else:
            raise TypeError(
                f"an event is a sentence, an AuditEvent, a dict, or a whole body as bytes, not {type(each).__name__}"
            )
    yield from _cut(session, events)


def _cut(session: Session, events: list[AuditEvent | dict[str, Any]]) -> Iterator[bytes]:
    for start in range(0, len(events), BATCH_EVENTS_MAX):
        part = events[start : start + BATCH_EVENTS_MAX]
        note(session, part)
        yield body_of(part)


def body_of(events: list[AuditEvent | dict[str, Any]]) -> bytes:
    """One EventList."""
    if all(isinstance(event, AuditEvent) for event in events):
        return encode_batch(events)  # type: ignore[arg-type]  # as was just looked at
    items = [as_dict(event) if isinstance(event, AuditEvent) else event for event in events]
    return json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}).encode()


def note(session: Session, events: list[AuditEvent | dict[str, Any]]) -> None:
    """Write down of each what the rule of reads makes of it, for the report."""
    now = session.now()
    verdicts: dict[bytes, str | None] = {}
    for event in events:
        body = body_of([event])
        alike = body_of([_without_id(event)])
        if alike not in verdicts:
            verdicts[alike] = _of_body(body, now)
        session.posted.append(Posted(now, _said(event), verdicts[alike]))


def _of_body(body: bytes, now: float) -> str | None:
    batch = parse_body(body, now)
    if batch.error is not None and not batch.events:
        return f"the whole body ({batch.error})"
    return ", ".join(f"{reason}" for reason in batch.dropped) or None


def _without_id(event: AuditEvent | dict[str, Any]) -> AuditEvent | dict[str, Any]:
    if isinstance(event, AuditEvent):
        return msgspec.structs.replace(event, audit_id="")
    return event | {"auditID": ""}


def _said(event: AuditEvent | dict[str, Any]) -> str:
    item = as_dict(event) if isinstance(event, AuditEvent) else event
    ref, user = item.get("objectRef"), item.get("user")
    ref, user = ref if isinstance(ref, dict) else {}, user if isinstance(user, dict) else {}
    what = "/".join(str(ref.get(key, "*")) for key in ("namespace", "name"))
    return f"{item.get('verb')} {ref.get('resource', '?')} {what} by {user.get('username', '?')} [{item.get('stage', 'no stage')}]"


def disordered(events: list[AuditEvent], chance: random.Random, *, repeats: float = 0.0) -> list[AuditEvent]:
    """The same events in another order, some of them twice (`repeats`: the share)."""
    found = [*events, *(event for event in events if chance.random() < repeats)]
    chance.shuffle(found)
    return found


async def run_api_server(
    session: Session, during: Callable[[SimulatedApiServer], Awaitable[Any] | None], options: SenderOptions | None
) -> SimulatedApiServer:
    """See Protector.api_server."""
    import httpx  # noqa: PLC0415 - needed only here, and slow to import

    from actors.testing.apiserver import SimulatedApiServer  # noqa: PLC0415 - as above

    class Pipeline(httpx.AsyncBaseTransport):
        """In place of the network: the parser and the store themselves."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            session.bodies += 1
            answer = await session.post_once(await request.aread())
            if answer is None:
                return httpx.Response(503, headers={"Retry-After": "5"})
            session.answers.append(answer)
            return httpx.Response(200, content=msgspec.json.encode(answer))

    server = SimulatedApiServer(
        "https://protector.invalid/",
        "token",
        Pipeline(),
        options=options,
        chance=random.Random(session.seed),  # noqa: S311 - jitter
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        result = during(server)
        if result is not None:
            await result
        server.close()
    await session.settled()
    return server
