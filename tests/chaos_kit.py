"""Chaos for the product's own tree: a minute of load, and kills of any actor at any moment, both drawn from a seed.

Counterparts: pipeline_kit.py (the pipeline on a virtual clock), tests/house/test_chaos.py. Kills go through the runtime's own
operation (`System.kill_actor`): the actor is cancelled in the middle of whatever it does, and its supervisor decides what follows.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import trio
from pipeline_kit import Crash
from small_cluster import Acts, batch, changed, gone_pod

from actors.runtime import ActorSnapshot, NotAllowed, System
from actors.store import MemoryJournal
from actors.store.records import Cursor, Page, Record

STEPS_MAX = 40
"""A strike comes up to so many turns of the scheduler after its moment: into the middle of what the moment set off."""
COMMIT_S = 0.05
"""How long a commit takes at most, before it is done and after."""
AT_ONCE_MAX = 3
"""Actors that one strike may kill together."""

WHO = (
    ("Deployment/app/web", "get", "db-creds", "RoleBinding/app/reader-get"),
    ("Deployment/app/web#1", "get", "db-creds", "RoleBinding/app/reader-get"),
    ("Deployment/app/audit", "list", "*", "RoleBinding/app/lister-list"),
    ("Deployment/app/left", "get", "smtp", "RoleBinding/app/shared-get"),
    ("Deployment/app/right", "get", "tls", ""),
    ("Deployment/app/mounter", "get", "other", ""),
    ("app/ghost", "get", "db-creds", "RoleBinding/app/ghost-get"),
    ("app/shared", "get", "smtp", ""),
)
"""(who, verb, Secret in `app`, the binding that the reason names)."""


class Post:
    """One body, when it is posted (seconds from the start), and the Secret that nobody else reads, which tells that it was taken."""

    def __init__(self, at_s: float, mark: str, body: bytes) -> None:
        self.at_s, self.mark, self.body = at_s, mark, body


def load(acts: Acts, start_at: float, chance: random.Random, *, for_s: float, every_s: float) -> list[Post]:
    """Posts over `for_s` seconds: single reads and full batches, watches, repeats, refusals, poison. Times lie in the items."""
    posts: list[Post] = []
    opened: list[tuple[float, Any]] = []
    quiet_at_s = {each: chance.uniform(0.0, for_s) for each in WHO} | {WHO[0]: for_s}
    # after that nothing of them comes that could make good what was lost
    at_s = 1.0
    while at_s < for_s:
        at, mark = start_at + at_s, f"mark-{len(posts)}"
        items: list[Any] = [acts.read("Deployment/ops/operator", "get", f"app/{mark}", at - 0.1)]
        for _ in range(chance.choice((0, 0, 1, 3, 25))):
            who, verb, secret, by = chance.choice([each for each in WHO if quiet_at_s[each] > at_s])
            items.append(acts.read(who, verb, f"app/{secret}", at - chance.uniform(0.1, 30.0), by=by))
        items += _oddities(acts, at, chance, len(posts))
        items += [end for ends_at_s, end in opened if ends_at_s <= at_s]
        opened = [(ends_at_s, end) for ends_at_s, end in opened if ends_at_s > at_s]
        if chance.random() < 0.1:
            open_s, by = chance.uniform(2.0, 20.0), "RoleBinding/app/lister-list"
            start, end = acts.watch("Deployment/app/audit", "app/*", at - 0.1, open_s=open_s, by=by)
            items.append(start)
            opened.append((at_s + open_s, end))
        chance.shuffle(items)
        posts.append(Post(at_s, mark, batch(*items)))
        if chance.random() < 0.2:  # another API server, or one that did not hear the answer
            posts.append(Post(at_s + chance.uniform(0.0, 2.0), mark, posts[-1].body))
        at_s += chance.expovariate(1.0 / every_s)
    return sorted(posts, key=lambda post: post.at_s)


def _oddities(acts: Acts, at: float, chance: random.Random, number: int) -> Iterator[Any]:
    """What is refused, unusual or ends soon, now and then."""
    web = "Deployment/app/web"
    if chance.random() < 0.1:
        yield acts.read(web, "get", "app/smtp", at, code=403)
        yield acts.read("Deployment/ops/operator", "get", "app/db-creds", at, acting="app/reader")
    if chance.random() < 0.1:
        yield changed(acts.read(web, "get", "app/db-creds", at), verb=7)
        yield acts.read(web, "get", "app/db-creds", at, caller=gone_pod(acts.caller(web)[1]))
    if chance.random() < 0.1:  # ends while the end is being waited for, and not before everything was taken
        yield acts.read("Deployment/ops/operator", "get", f"ops/old-{number}", at - 180.0)


def places(node: ActorSnapshot) -> Iterator[ActorSnapshot]:
    """Everything below a place, in the order of the start."""
    for child in node.children:
        yield child
        yield from places(child)


class SlowJournal(MemoryJournal):
    """A journal in memory that takes its time, as a disk does: a kill comes before the commit, or after it and before the answer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)

    async def _pause(self) -> None:
        await trio.sleep(self._chance.uniform(0.0, COMMIT_S))

    async def append(self, records: Sequence[Record]) -> None:
        await self._pause()
        await super().append(records)
        await self._pause()

    async def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        await self._pause()
        await super().announce(lit, dark)
        await self._pause()

    async def read(self, cursor: Cursor | None) -> Page:
        await self._pause()
        return await super().read(cursor)


class Chaos:
    """Kills in `system`, which is set once it is there. As the `intercept` of that system it also sees every message.

    It keeps within what the tree bears: a supervisor that would give up because of one more kill is left alone, or the end of the
    run would be the end of the process. `killed` (and made fail) and `restarted` count by path, `in_hand` the kills in a handler.
    """

    system: System

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.restarted: Counter[str] = Counter()
        self.in_hand = 0
        self._kills: list[tuple[float, str]] = []
        """(when, below which supervisor): those of this moment are not yet in any snapshot."""
        self.in_handling = 0.0
        """How likely an actor is killed, or fails, in the very moment in which it begins to handle a message of one of `kinds`."""
        self.kinds: tuple[type, ...] = (object,)

    def __call__(self, path: str, message: Any) -> None:
        if not isinstance(message, self.kinds) or self.chance.random() >= self.in_handling:
            return
        if path not in self.bearable():
            return
        if self.chance.random() < 0.5:
            self.kill(path)
        else:
            self._note(path)
            raise Crash

    def kill(self, path: str) -> None:
        """Kills one, now."""
        busy = self._busy(path)
        try:
            self.system.kill_actor(path)
        except NotAllowed:  # it has just ended, or its supervisor has
            return
        self.in_hand += busy
        self._note(path)

    def _note(self, path: str) -> None:
        self.killed[path] += 1
        self._kills.append((trio.current_time(), path.rpartition("/")[0]))

    def figures(self) -> str:
        """What was done, for the report of a run."""
        return f"{self.killed.total()} kills ({self.in_hand} in a handler), {self.restarted.total()} restarts"

    def _busy(self, path: str) -> bool:
        return any(node.path == path and node.handling for node in places(self.system.snapshot()))

    def bearable(self) -> list[str]:
        """The paths that may be killed without a supervisor giving up over it, in the order of the tree."""
        root, now = self.system.snapshot(), trio.current_time()
        found: list[str] = []
        for parent in (root, *places(root)):
            each_its_own = parent.path.endswith("/accounts")  # each of its children has an intensity of its own
            for child in parent.children:
                count, limits = child.restarts.count, child.restarts
                if not each_its_own:
                    mine = sum(at >= now - limits.within_s for at, path in self._kills if path == parent.path)
                    count = max(mine, sum(other.restarts.count for other in parent.children))
                if child.state == "running" and count < limits.max:
                    found.append(child.path)
        return found

    async def strike(self, *paths: str) -> None:
        """Kills these together, while what just happened is worked on; rather when the first of them has a message in hand."""
        if self.chance.random() < 0.5:
            await trio.sleep(self.chance.uniform(0.0, 2.0 * COMMIT_S))
        for _ in range(self.chance.randrange(STEPS_MAX)):
            await trio.lowlevel.checkpoint()
            if self._busy(paths[0]) and self.chance.random() < 0.5:
                break
        for path in paths:
            if path in self.bearable():
                self.kill(path)

    async def in_turn(self, moments: Iterable[float]) -> None:
        """Each place once, one at each moment, the supervisors after what is below them; then from the beginning."""
        done: set[str] = set()
        for moment in moments:
            await trio.sleep_until(moment)
            paths = self.bearable()
            if not set(paths) - done:
                done.clear()
            left = [path for path in paths if path not in done]
            if left:
                path = max(left, key=lambda path: (path.count("/") == 3, path.count("/")))
                done.add(path)
                await self.strike(path)

    async def at_random(self, moments: Iterable[float]) -> None:
        """At each moment one to AT_ONCE_MAX that are killed together, or one that is restarted in good order."""
        for moment in moments:
            await trio.sleep_until(moment)
            paths = self.bearable()
            if not paths:
                continue
            if self.chance.random() < 0.2:
                path = self.chance.choice(paths)
                with suppress(NotAllowed):
                    await self.system.restart(path)
                    self.restarted[path] += 1
            else:
                few = min(self.chance.randint(1, AT_ONCE_MAX), len(paths))
                await self.strike(*self.chance.sample(paths, few))
