"""`Fence`: what an incarnation owns outside the loop (a connection, a file) is its own only until its successor takes over.

Counterpart: a thread cannot be killed. When a threaded actor is stuck, or an actor's worker thread is, the incarnation ends without
it, and a new one is started that opens its own connection to the same thing. The old thread may wake any time later, in the middle of
what it was doing. So each incarnation gets a token of its place's fence (`context.fence`; `current_fence()` in a threaded actor):

- `token.check()` raises `Fenced` once the incarnation is over. Good for leaving early; another thread may take over right after it.
- `with token.hold(): connection.commit()` raises `Fenced` as well, and while it is held no successor starts. So what is done inside
  either comes before everything that the successor does, or does not happen at all.

A token is revoked when its incarnation ends, at a final stop as well. A successor waits `HOLD_WAIT_S` for the holders of earlier
tokens; then its start fails (`FenceHeld`), which is a failure as any other: backoff, another try, and in the end an escalation. It
never starts beside a holder. Keep what is held short, with a timeout of its own.

A fence belongs to a path and lives as long as anything holds one of its tokens, also where a dynamic child left the tree meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import trio

from actors.runtime.errors import Fenced, FenceHeld

HOLD_WAIT_S: Final = 5.0
"""How long a successor waits for those who hold a token of an earlier incarnation, before its start fails."""


class FenceToken:
    """The right of one incarnation to what its place owns. For any thread."""

    __slots__ = ("_revoked", "fence", "incarnation")

    def __init__(self, fence: Fence, incarnation: int) -> None:
        self.fence = fence
        self.incarnation = incarnation
        self._revoked = False

    @property
    def revoked(self) -> bool:
        """Whether the incarnation is over."""
        return self._revoked

    def revoke(self) -> None:
        """The incarnation is over; called by the runtime. Who holds the token goes on, nobody takes hold of it any more."""
        with self.fence.lock:
            self._revoked = True

    def check(self) -> None:
        """Raises `Fenced` when the incarnation is over."""
        if self._revoked:
            raise Fenced(f"incarnation {self.incarnation} of {self.fence.path} has ended")

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Within it no successor starts. Raises `Fenced` when the incarnation is over. Keep it short (see the module docstring)."""
        fence = self.fence
        with fence.lock:
            self.check()
            fence.holders += 1
        try:
            yield
        finally:
            fence.released()


class Fence:
    """Of one path: who holds a token of an incarnation, and how many threads were left behind."""

    __slots__ = ("__weakref__", "_all_free", "_home", "abandoned", "holders", "lock", "path", "token")

    def __init__(self, path: str, home: trio.lowlevel.TrioToken) -> None:
        self.path = path
        self._home = home
        self.lock = threading.Lock()
        """Guards tokens and holders; held for a few instructions."""
        self.holders = 0
        self.token: FenceToken | None = None
        """Of the present incarnation, if it asked for one."""
        self.abandoned = 0
        """Threads of earlier incarnations that still run; for the Trio thread."""
        self._all_free: trio.Event | None = None

    def issue(self, incarnation: int) -> FenceToken:
        """The token of the present incarnation; the same one until it is revoked."""
        if self.token is None:
            self.token = FenceToken(self, incarnation)
        return self.token

    def revoke(self) -> None:
        """The present incarnation is over."""
        token, self.token = self.token, None
        if token is not None:
            token.revoke()

    def released(self) -> None:
        """One holder less; from any thread."""
        with self.lock:
            self.holders -= 1
            event = self._all_free if not self.holders else None
        if event is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._home.run_sync_soon(event.set)

    async def wait_free(self) -> None:
        """Before a successor starts: wait until nobody holds an earlier token. Raises `FenceHeld` after `HOLD_WAIT_S` seconds."""
        with self.lock:
            if not self.holders:
                return
            self._all_free = trio.Event()
        with trio.move_on_after(HOLD_WAIT_S):
            await self._all_free.wait()
        self._all_free = None
        if self.holders:
            raise FenceHeld(f"{self.path}: {self.holders} hold what an earlier incarnation owned")


_here = threading.local()


def current_fence() -> FenceToken:
    """The token of the incarnation whose thread this is, in the hooks of a threaded actor. RuntimeError elsewhere."""
    token: FenceToken | None = getattr(_here, "token", None)
    if token is None:
        raise RuntimeError("this is no thread of an actor's: an actor on the loop has `context.fence`")
    return token


@contextlib.contextmanager
def fenced_thread(token: FenceToken) -> Iterator[None]:
    """Within it, `current_fence()` is `token` in this thread: threads are used again, so it is taken back at the end."""
    _here.token = token
    try:
        yield
    finally:
        del _here.token
