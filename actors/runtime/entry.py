"""What stands in a mailbox: entries, and the messages that are the runtime's own.

Counterpart: mailbox.py queues entries, the receive loop (loop.py) takes them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from msgspec import Struct
from pykka.messages import _ActorStop

from actors.runtime.future import TrioFuture


class Entry(Struct, gc=False, eq=False):
    """One queued message. `at`: monotonic seconds of the put; `key`: what a newer message must match to replace it."""

    message: Any
    reply: TrioFuture[Any] | None
    at: float
    key: Hashable = None
    task: Any = None
    """The task that waits for room with it, while it stands in line."""
    context: Any = None
    """The teller's context variables, in a system that carries them."""


class Cancelled:
    """Stands in for a queued message that was withdrawn (the tick of a cancelled timer); the loop skips it."""


CANCELLED = Cancelled()


class StopRequest(Struct, frozen=True):
    """Asks an actor to end after what was queued before it. `restartable`: the actor ended itself, its supervisor may start it anew."""

    restartable: bool = False


STOP_MESSAGES: Final = frozenset({StopRequest, _ActorStop})
"""What ends an actor when it is its turn: ours, and Pykka's own for those who tell it directly."""
