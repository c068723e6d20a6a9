"""`Actor`: Pykka's actor with a Trio task for a loop.

Counterpart: `Cell` (cell.py) makes the instances and runs them; `ActorRef` (ref.py) is what others hold.

The rule for failures: an exception that leaves a handler is a failure of the actor, under `tell` and under `ask`. The actor is over,
`on_failure` runs, the supervisor decides what comes next. Under `ask` the asker gets the exception as well. Exceptions of a type in
`Actor.answers` are replies in the form of an exception: under `ask` they go to the asker and are no failure. (Pykka differs: there an
exception under `ask` is never a failure.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pykka
from pykka._introspection import get_attr_directly
from pykka.messages import ProxyCall, ProxyGetAttr

from actors.runtime.context import ActorContext
from actors.runtime.current import current_system
from actors.runtime.future import TrioFuture
from actors.runtime.log import say_warning
from actors.runtime.specs import MailboxPolicy

if TYPE_CHECKING:
    from actors.runtime.cell import Cell
    from actors.runtime.ref import ActorRef
    from actors.runtime.states import ExitKind

if TYPE_CHECKING:
    # For type checkers it stands alone: Pykka types its hooks as plain functions, and ours may be async in every subclass.
    _Base = object
else:
    _Base = pykka.Actor


class Actor(_Base):
    """Subclass it, and start it through a system (`System.start`, or `Actor.start` inside one).

    The hooks may be `async def` or plain functions. `__init__` runs on the Trio thread once for every incarnation; `context` is
    there already.
    """

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy()
    """The bound of the mailbox and what happens at it."""

    answers: ClassVar[tuple[type[Exception], ...]] = ()
    """Exceptions that are answers under `ask`, not failures."""

    replayable: ClassVar[tuple[type, ...]] = ()
    """Types of messages whose dead letters keep the message itself, so that it can be told again (`System.dead_letters.replay`).

    None unless named: what travels in messages may be secret, or hostile, or large."""

    context: ActorContext
    """The place of this actor, and the tools of this incarnation."""

    actor_urn: str
    """The path: it identifies an actor, and is the same in every run."""

    _cell: Cell
    _actor_ref: ActorRef

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing to do: what Pykka sets here is set before `__init__` runs (see `bind`), so a missing super() call is harmless."""

    def bind(self, cell: Cell) -> None:
        """Give a new instance its place; called by the cell before `__init__`."""
        self._cell = cell
        if cell.context is not None:
            self.context = cell.context
        self._actor_ref = cell.ref
        self.actor_urn = cell.path

    @property
    def actor_ref(self) -> ActorRef:
        """The ref of this actor's place."""
        return self._cell.ref

    def to_be_cancelled(self) -> None:
        """Called by the cell right before this incarnation is cut short; for supervisors."""

    def handle_proxy_message(self, message: Any) -> Any:
        """Pykka's proxy messages, with Pykka's meaning; what comes of an async method is awaited by the loop."""
        if message.__class__ is ProxyCall:
            return get_attr_directly(self, message.attr_path)(*message.args, **message.kwargs)
        if message.__class__ is ProxyGetAttr:
            return get_attr_directly(self, message.attr_path)
        return setattr(get_attr_directly(self, message.attr_path[:-1]), message.attr_path[-1], message.value)

    def live(self, cell: Cell) -> Awaitable[ExitKind]:
        """Run one incarnation; supervisors put a nursery around it."""
        return cell.hooks(self)  # no frame of its own: there may be very many actors

    @property
    def actor_inbox(self) -> Any:
        """The mailbox of this actor's place."""
        return self._cell.mailbox

    @property
    def actor_stopped(self) -> Any:
        """A `threading.Event` that is set once the actor is stopped for good."""
        return self._cell.stopped_event()

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef:
        """Start an actor under the system that is open around the caller, without restarts, as in Pykka. See `System.spawn`."""
        return current_system().spawn(cls, *args, **kwargs)

    def stop(self) -> None:
        """End this actor after the messages that are queued now: a normal exit. A permanent child is then started anew."""
        self._cell.request_stop(restartable=True)

    # --- hooks ---------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Before the first message. The actor counts as started when this has returned; an exception is a failure."""

    async def on_receive(self, message: Any) -> Any:
        """Handle a message; what it returns is the reply of an ask. The default warns, with the type only, and returns None."""
        say_warning("unexpected message", path=self.actor_urn, message_type=type(message).__name__)

    async def on_stop(self) -> None:
        """After the last message of an incarnation that did not fail; within the child's `stop_timeout_s`."""

    async def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """After a failure, a failing `on_start` included, in place of `on_stop`: let go of what this incarnation holds."""

    @classmethod
    def conflate_key(cls, message: Any) -> Hashable | None:  # noqa: ARG003 - for subclasses
        """Tells with the same key become one while they are queued; None for messages that stand for themselves."""
        return None

    @classmethod
    def has_conflate_key(cls) -> bool:
        """Whether a subclass names keys; the others get a mailbox that does not look for them."""
        return cls.conflate_key.__func__ is not Actor.conflate_key.__func__  # type: ignore[attr-defined]  # of a classmethod

    @classmethod
    def conflate(cls, queued: Any, message: Any) -> Any:  # noqa: ARG003 - for subclasses
        """What takes the place of a queued message when one with the same key comes: by default the new one."""
        return message

    # --- Pykka's internals, replaced --------------------------------------------------------------------------------

    @staticmethod
    def _create_actor_inbox() -> NoReturn:
        raise RuntimeError("a mailbox belongs to a place in a system: use System.start")

    @staticmethod
    def _create_future() -> TrioFuture[Any]:
        future: TrioFuture[Any] = TrioFuture()
        return future

    def _start_actor_loop(self) -> NoReturn:
        raise RuntimeError("an actor runs under a supervisor: use System.start")
