"""`ActorRef`: what others hold of an actor. It names the place, so it is valid before the start and across restarts.

Counterpart: `Cell` (cell.py). On the Trio thread nothing here blocks; from other threads `ask` and `stop` block, as in Pykka.
"""

from __future__ import annotations

import contextlib
from threading import get_ident
from typing import TYPE_CHECKING, Any

import pykka
import trio
from pykka.messages import ProxySetAttr

from actors.runtime.errors import ActorDead, MailboxFull, WouldBlock
from actors.runtime.future import TrioFuture
from actors.runtime.monitors import Terminated
from actors.runtime.specs import Overflow
from actors.runtime.threads import ThreadHost, shown_class

if TYPE_CHECKING:
    from actors.runtime.cell import Cell


class ActorRef(pykka.ActorRef[Any]):
    """A place in a system. Get it from `System.ref`, `Dynamic.ref`, `context.ref` or `Actor.start`."""

    def __init__(self, cell: Cell) -> None:
        # Pykka's __init__ would copy what belongs to one incarnation.
        self._cell = cell
        self._home = cell.system.home
        self._thread_id = self._home.thread_id

    def __repr__(self) -> str:
        return f"<ActorRef for {self}>"

    def __str__(self) -> str:
        return f"{self._cell.actor_class.__name__} ({self._cell.path})"

    @property
    def cell(self) -> Cell:
        """The place itself, for the runtime's own modules."""
        return self._cell

    @property
    def path(self) -> str:
        """The place: `/protector/pipeline/store`."""
        return self._cell.path

    @property
    def actor_class(self) -> Any:  # type: ignore[override]  # Pykka has plain attributes here and below; ours follow the place
        """The class of the actor in this place."""
        return shown_class(self._cell.actor_class)

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # as above
        """The path: it identifies an actor, and is the same in every run."""
        return self._cell.path

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]  # as above
        """The mailbox of this place."""
        return self._cell.mailbox

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]  # as above
        """A `threading.Event` that is set once the actor is stopped for good."""
        return self._cell.stopped_event()

    def _actor_weakref(self) -> Any:  # type: ignore[override]  # Pykka has a weakref here; this is called like one
        """What Pykka's proxies look attributes up in: the present incarnation."""
        actor = self._cell.actor
        return actor.inhabitant if isinstance(actor, ThreadHost) else actor

    def is_alive(self) -> bool:
        """Whether messages are accepted: the actor runs, starts, or waits for its restart."""
        return self._cell.mailbox.limit >= 0

    def tell(self, message: Any) -> None:
        """Queue a message. Never blocks on the Trio thread. Raises `MailboxFull` or `ActorDead`.

        From another thread: a message that turns out to be one too many only on the Trio thread becomes a dead letter; under
        Overflow.WAIT the thread waits for room.
        """
        if get_ident() == self._thread_id:
            self._cell.put(message)
            return
        mailbox = self._cell.mailbox
        token = self._cell.system.home.token
        if mailbox.policy.overflow is Overflow.WAIT:
            try:
                trio.from_thread.run(self.send, message, trio_token=token)
            except trio.RunFinishedError:
                raise ActorDead(f"{self.path}: its system has ended") from None
        else:
            mailbox.put_foreign(message, None, token)

    async def send(self, message: Any) -> None:
        """Queue a message, waiting for room, first come first served. Raises `ActorDead`, also while waiting."""
        await self._cell.mailbox.send(message)

    def ask(  # Pykka's block defaults to True; here it is True off the Trio thread only
        self,
        message: Any,
        *,
        block: bool | None = None,
        timeout: float | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Queue a message and get its reply.

        On the Trio thread: `reply = await ref.ask(message, timeout_s=5)`. From other threads it blocks and returns the reply, or
        a future with `block=False`. `timeout_s` and Pykka's `timeout` mean the same, in seconds from now.

        The reply may be an exception: `MailboxFull`, `ActorDead` (it stopped before it handled the message), `ActorCrashed` (while
        it did; also an instance of what the handler raised), `AskTimeout`, or one of the actor's `answers`.
        Raises `WouldBlock` at once when asked to block on the Trio thread.
        """
        limit_s = timeout_s if timeout_s is not None else timeout
        if get_ident() == self._thread_id:
            if block:
                raise WouldBlock("ask(block=True) would block the Trio loop: use `await ref.ask(message)`")
            if block is None and message.__class__ is ProxySetAttr:
                raise WouldBlock(
                    "setting a proxy's attribute would block the Trio loop: call a method of the actor that sets it, "
                    "or `await ref.ask(ProxySetAttr(...), block=False)`"
                )
            future: TrioFuture[Any] = TrioFuture()
            future.home = self._home
            if limit_s is not None:
                future.expire_after(self._cell.system.timers, limit_s)
            try:
                self._cell.put(message, future)
            except (ActorDead, MailboxFull) as error:
                future.deliver_error(error)
            return future
        future = TrioFuture()
        try:
            self._cell.mailbox.put_foreign(message, future, self._cell.system.home.token)
        except (ActorDead, MailboxFull) as error:
            future.deliver_error(error)
        return future if block is False else future.get(timeout=limit_s)

    def stop(self, *, block: bool | None = None, timeout: float | None = None) -> Any:
        """Stop the actor for good, after the messages that are queued now. True if it was alive, False if not.

        On the Trio thread: `await ref.stop()`, or without `await` to have it stopped soon. Elsewhere it blocks, or returns a
        future with `block=False`. The supervisor does not start it anew.
        """
        on_loop = get_ident() == self._thread_id
        if on_loop and block:
            raise WouldBlock("stop(block=True) would block the Trio loop: use `await ref.stop()`")
        future: TrioFuture[bool] = TrioFuture()
        if on_loop:
            self._cell.request_stop(future)
        else:
            try:
                self._cell.system.home.token.run_sync_soon(self._cell.request_stop, future)
            except trio.RunFinishedError:
                future.deliver(False)
        return future if on_loop or block is False else future.get(timeout=timeout)

    async def wait_terminated(self) -> Terminated:
        """Wait until the actor has ended for good, for code outside of actors (inside there is `context.watch`). Trio thread only.

        Returns at once when it has already, or was never there.
        """
        future: TrioFuture[Terminated] = TrioFuture()
        future.home = self._home
        self._cell.add_watcher(future, future.deliver)
        try:
            return await future
        finally:
            self._cell.remove_watcher(future)

    def kill(self) -> None:
        """End the actor now, in the middle of whatever it does (its tasks are cancelled, `on_stop` does not run), for good."""
        if get_ident() == self._thread_id:
            self._cell.kill()
        else:
            with contextlib.suppress(trio.RunFinishedError):
                self._cell.system.home.token.run_sync_soon(self._cell.kill)
