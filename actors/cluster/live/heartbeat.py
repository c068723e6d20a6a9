"""Proof that the feed is alive: protector is denied a Secret, and the denial must come back through the audit webhook.

The Secret is not there and its name is new each time (HEARTBEAT_PREFIX and chance), so that nothing but this very request can answer
for it. That tells a quiet cluster from a blind protector: an audit policy that does not cover Secrets, a webhook that points elsewhere,
an API server that does not send. Its lag is the feed's, end to end.
Options: `access`. Messages: HeartbeatsReturned (told by the parsers), HeartbeatQuery. One request every BEAT_S.
"""

from __future__ import annotations

import enum
import secrets
from typing import Any, Final

import structlog
import trio
from msgspec import Struct

from actors.cluster.live.access import ApiAccess
from actors.cluster.live.client import ApiClient, ApiRefused, ApiUnreachable
from actors.messages import HEARTBEAT_PREFIX, HeartbeatsReturned
from actors.runtime import Actor

log = structlog.get_logger("protector.heartbeat")

BEAT_S: Final = 60.0
"""How often it asks: each is a line in the audit log."""
FIRST_S: Final = 2.0
"""How long after the start."""
BLIND_AFTER_S: Final = 150.0
"""Nothing came back for so long: an API server holds a batch for up to 30 s, and sends one again for up to 100 s."""
PENDING_MAX: Final = 16
"""Requests that may still come back; older ones do not count any more."""
PEERS_MAX: Final = 64
ACCOUNT: Final = '"system:serviceaccount:'
"""What the refusal's message says where the credential is a ServiceAccount's."""


class HeartbeatState(enum.Enum):
    """What is known of the feed."""

    WAITING = "waiting"
    """Nothing came back yet, and it is too early to say more."""
    ALIVE = "alive"
    """The last requests came back: what is not seen did not happen."""
    BLIND = "blind"
    """Requests were denied and did not come back: reads are not seen either."""
    UNREACHABLE = "unreachable"
    """The API server does not answer, so nothing can be said."""
    UNUSABLE = "unusable"
    """The credential is not one whose denial would come back."""


class HeartbeatQuery(Struct, frozen=True):
    """Answer: HeartbeatStatus."""


class HeartbeatStatus(Struct, frozen=True):
    """Times are epoch seconds."""

    state: HeartbeatState
    why: str
    sent: int
    """Requests that were denied."""
    returned: int
    last_sent_at: float | None
    last_returned_at: float | None
    lag_s: float | None
    """From the request to its event's arrival, of the last that came back."""
    peers: dict[str, float]
    """Who sent them back, and when last."""


class HeartbeatActor(Actor):
    """Asks, and waits."""

    def __init__(self, access: ApiAccess) -> None:
        super().__init__()
        self._client = ApiClient(access)
        self._base = f"/api/v1/namespaces/{access.namespace}/secrets/"
        self._pending: dict[str, float] = {}
        self._sent = self._returned = 0
        self._first_sent_at: float | None = None
        self._last_sent_at: float | None = None
        self._last_returned_at: float | None = None
        self._lag_s: float | None = None
        self._peers: dict[str, float] = {}
        self._trouble: tuple[HeartbeatState, str] | None = None
        self._said = HeartbeatState.WAITING

    async def on_start(self) -> None:
        """Ask, beside the messages."""
        self.context.start_soon(self._beat)

    async def on_stop(self) -> None:
        """Let go of the connection."""
        await self._client.close()

    async def on_receive(self, message: Any) -> Any:
        """Take what came back; answer what is asked."""
        match message:
            case HeartbeatsReturned():
                self._take(message)
            case HeartbeatQuery():
                return self.status()
            case _:
                return await super().on_receive(message)
        return None

    def status(self) -> HeartbeatStatus:
        """What is known now."""
        state, why = self._state(self.context.clock.now())
        return HeartbeatStatus(
            state,
            why,
            self._sent,
            self._returned,
            self._last_sent_at,
            self._last_returned_at,
            self._lag_s,
            dict(self._peers),
        )

    def _state(self, now: float) -> tuple[HeartbeatState, str]:
        if self._trouble is not None:
            return self._trouble
        since = self._last_returned_at or self._first_sent_at
        if since is not None and now - since > BLIND_AFTER_S:
            what = "the last came back" if self._last_returned_at is not None else "the first was sent"
            why = f"{len(self._pending)} denied requests did not come back since {what}, {now - since:.0f} s ago"
            return HeartbeatState.BLIND, why
        return (HeartbeatState.ALIVE if self._returned else HeartbeatState.WAITING), ""

    def _take(self, message: HeartbeatsReturned) -> None:
        for name in message.names:
            sent_at = self._pending.pop(name, None)
            if sent_at is None:
                continue  # another's, an earlier process's, or one that came twice
            self._returned += 1
            self._last_returned_at = message.received_at
            self._lag_s = max(0.0, message.received_at - sent_at)
            self._peers.pop(message.peer, None)
            self._peers[message.peer] = message.received_at
            if len(self._peers) > PEERS_MAX:
                del self._peers[next(iter(self._peers))]

    async def _beat(self) -> None:
        await trio.sleep(FIRST_S)
        while True:
            await self._ask()
            state, why = self._state(self.context.clock.now())
            if state is not self._said:
                self._said = state
                (log.info if state is HeartbeatState.ALIVE else log.warning)(
                    f"the audit feed is {state.value}", why=why
                )
            await trio.sleep(BEAT_S)

    async def _ask(self) -> None:
        name = HEARTBEAT_PREFIX + secrets.token_hex(12)
        now = self.context.clock.now()
        self._note(name, now)  # its event may come back before its answer
        try:
            # Metadata alone: should it be allowed after all, no value comes.
            async with self._client.get(
                self._base + name, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
            ):
                self._trouble = (HeartbeatState.UNUSABLE, "a Secret of that name is there, and may be read")
        except ApiUnreachable as error:
            self._pending.pop(name, None)
            self._trouble = (HeartbeatState.UNREACHABLE, str(error))
        except ApiRefused as refused:
            self._refused(name, refused, now)

    def _note(self, name: str, now: float) -> None:
        self._pending[name] = now
        if len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]

    def _refused(self, name: str, refused: ApiRefused, now: float) -> None:
        if refused.code == 403 and ACCOUNT in refused.message:
            self._trouble = None
            self._sent += 1
            self._last_sent_at = now
            self._first_sent_at = self._first_sent_at or now
            return
        self._pending.pop(name, None)
        if refused.code == 403:
            why = "its credential is no ServiceAccount's, and only those are looked at"
            self._trouble = (HeartbeatState.UNUSABLE, why)
        elif refused.code == 404:
            self._trouble = (
                HeartbeatState.UNUSABLE,
                "its credential may read Secrets; protector needs no permission on them",
            )
        else:
            self._trouble = (HeartbeatState.UNREACHABLE, f"the API server answers with {refused.code}")
