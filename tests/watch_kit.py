"""A two-level system that is none of the product's, watched: what its tests tell its actors, and how they ask the pages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import trio
from msgspec import Struct
from quart_trio import QuartTrio

from actors.runtime import (
    Actor,
    Backoff,
    Child,
    DynamicSpec,
    Intensity,
    MailboxPolicy,
    Overflow,
    Strategy,
    SupervisorSpec,
    System,
    SystemClock,
    VirtualClock,
    open_system,
)
from actors.runtime.watch import Actions, ActionTaken, Presented, Watch, watch_system

TOKEN = "open-sesame"  # a test's


class Brew(Struct, frozen=True):
    """A message that is handled."""


class Spill(Struct, frozen=True):
    """A message that crashes its actor."""


class Hold(Struct, frozen=True):
    """A message that is in hand until the system ends."""


class Barista(Actor):
    """Handles, crashes or holds, as it is told."""

    mailbox = MailboxPolicy(capacity=10)
    replayable = (Brew, Spill)

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Spill):
            raise ValueError("what was spilt is nobody's business")
        if isinstance(message, Hold):
            await trio.sleep_forever()
        return "coffee"


class Till(Barista):
    """Drops what is oldest."""

    mailbox = MailboxPolicy(capacity=2, overflow=Overflow.DROP_OLDEST)


SPECS = (
    SupervisorSpec(
        "bar",
        (Child("barista", Barista), Child("till", Till)),
        strategy=Strategy.REST_FOR_ONE,
        intensity=Intensity(max=4, within_s=400.0),
        backoff=Backoff(base_s=20.0, cap_s=20.0),
    ),
    DynamicSpec("guests", lambda key: Child(key, Barista)),
)


@dataclass
class Cafe:
    """The system, what was mounted, a client of it, and the log of actions."""

    system: System
    watch: Watch
    client: Any
    log: list[ActionTaken]
    app: Any = None

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        answer = await self.client.get(path, headers={"Host": "cafe.test", **headers})
        return answer.status_code, (await answer.get_data()).decode()

    async def words(self, path: str) -> str:
        """The page's text, without tags, with single spaces."""
        status, page = await self.get(path)
        assert status == 200, (path, status)
        return plain_words(page)

    async def act(
        self, token: str = TOKEN, headers: dict[str, str] | None = None, **fields: Any
    ) -> tuple[int, str, str]:
        """(status, page, where it leads) of a form sent as a browser would."""
        sent = (
            {"Host": "cafe.test", "Origin": "http://cafe.test"} if headers is None else {"Host": "cafe.test", **headers}
        )
        form = {name: str(value) for name, value in fields.items()} | {"operator_token": token}
        answer = await self.client.post("/actors/-/act", headers=sent, form=form)
        return answer.status_code, (await answer.get_data()).decode(), answer.headers.get("Location", "")


def plain_words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).strip()


@asynccontextmanager
async def cafe(*, acting: bool = True, specs: tuple[Any, ...] = SPECS, real_time: bool = False) -> AsyncIterator[Cafe]:
    """The watched system, with actions allowed or not."""
    log: list[ActionTaken] = []

    def check(presented: Presented) -> str | None:
        return "token-1" if presented.token == TOKEN.encode() else None

    app = QuartTrio("cafe")
    async with open_system("cafe", seed=1, clock=SystemClock() if real_time else VirtualClock()) as system:
        await system.start(*specs)
        watch = watch_system(app, system, actions=Actions(acting, check, log.append))
        yield Cafe(system, watch, app.test_client(), log, app)


async def settled(is_so: Callable[[], bool]) -> None:
    """Until the system has come to where it must; a test that never does so ends by its own bound."""
    for _ in range(10_000):
        if is_so():
            return
        await trio.lowlevel.checkpoint()
    raise AssertionError("it did not settle")


Case = Callable[[Cafe], Awaitable[Any]]


class Checker(HTMLParser):
    """Collects what of the markup breaks a strict content policy or the outline."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})
    LEAVES = frozenset({"path", "circle", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.faults += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag in ("script", "link", "img") and not (given.get("src") or given.get("href") or "").startswith("/"):
            self.faults.append(f"{tag} from elsewhere")
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag not in self.VOID and tag not in self.LEAVES:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.LEAVES and (not self.open or self.open.pop() != tag):
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style") and data.strip():
            self.faults.append("inline script or style")
