"""POST runtime behaviors and Falco alerts: bodies to the behaviors' actor, its answer to JSON. Counterparts: web/ingest.py (the doors),
actors/behaviors (what is taken)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import structlog
import trio
from msgspec import Struct

from actors.messages import BehaviorsAnswer, TakeBehaviors
from actors.runtime import UNANSWERED
from web.audit_sink import ANSWER_S, LOG_EVERY_S, Asked
from web.guard import Guard
from web.ingest import BEHAVIOR_PATHS, Ingest, IngestSettings
from web.ingest_answers import UNAVAILABLE, Answer, Sender

__all__ = ["BEHAVIOR_BODY_BYTES_MAX", "FALCO_PATH", "make_behavior_app"]

FALCO_PATH: Final = "/"
"""Where Falco alerts go; observations of agents go to /behavior."""
BEHAVIOR_BODY_BYTES_MAX: Final = 1 << 20
"""Largest body: some thousand observations. It is decoded on the loop, which takes some milliseconds."""

log = structlog.get_logger(__name__)


class _Caps(Struct, frozen=True):
    """The settings of the doors, with the smaller cap."""

    max_body_bytes: int
    body_timeout_s: float


class _BehaviorSink:
    """Has a report taken; answers once its acts are in the window."""

    def __init__(self, behaviors: Asked, now: Callable[[], float]) -> None:
        self._behaviors = behaviors
        self._now = now
        self.count = 0
        self._unlogged = 0
        self._logged_at = float("-inf")

    async def take(self, body: bytes, sender: Sender) -> Answer:
        """200 with what was taken and dropped, or 503: then the sender may come again, a repeat is the same acts once more."""
        message = TakeBehaviors(body, sender.path == FALCO_PATH, self._now())
        try:
            answer: BehaviorsAnswer = await self._behaviors.ask(message, timeout_s=ANSWER_S)
        except UNANSWERED as error:
            log.warning(
                "a report of behaviors was not taken",
                peer=sender.peer,
                credential=sender.credential,
                size=len(body),
                why=type(error).__name__,
            )
            return UNAVAILABLE
        found = msgspec.to_builtins(answer)
        if answer.error is None:
            del found["error"]
        else:
            self._report(answer.error, len(body), sender)
        return Answer(200, msgspec.json.encode(found))

    def _report(self, error: str, size: int, sender: Sender) -> None:
        """Never by content."""
        self.count += 1
        if (at := trio.current_time()) - self._logged_at < LOG_EVERY_S:
            self._unlogged += 1
            return
        log.warning(
            "a report of behaviors cannot be read",
            peer=sender.peer,
            credential=sender.credential,
            size=size,
            error=error,
            unlogged=self._unlogged,
        )
        self._logged_at, self._unlogged = at, 0


def make_behavior_app(
    behaviors: Asked, guard: Guard, settings: IngestSettings, draining: Callable[[], bool], *, now: Callable[[], float]
) -> Ingest:
    """The behavior listener's application. `now`: epoch seconds at which a report was received."""
    sink = _BehaviorSink(behaviors, now)
    caps = _Caps(min(settings.max_body_bytes, BEHAVIOR_BODY_BYTES_MAX), settings.body_timeout_s)
    return Ingest(BEHAVIOR_PATHS, guard, caps, draining, sink.take, lambda: sink.count)
