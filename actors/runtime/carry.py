"""Context variables that travel with a message (structlog, OpenTelemetry), for systems opened with `trace_context=True`.

Counterpart: a mailbox of such a system copies the teller's context into each entry, the loop (loop.py) runs the handler in it. It goes
with tell, send, ask, timers and from other threads, waits with the message over a restart, and goes on to what the handler tells.

Off by default: a tell and its handling cost about a third more under it with a plain handler, and nearly twice as much with an async
one, each step of which is run in the context.
"""

from __future__ import annotations

import contextvars
import types
from collections.abc import Coroutine, Generator
from typing import Any


@types.coroutine
def in_context(context: contextvars.Context, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Await `coroutine` with every step of it run in `context`, as Trio runs a task's steps in the task's own."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            trap = context.run(coroutine.send, value) if error is None else context.run(coroutine.throw, error)
        except StopIteration as stop:
            return stop.value
        try:
            value, error = (yield trap), None
        except BaseException as thrown:  # noqa: BLE001 - whatever is thrown in, cancellation too, belongs to the coroutine
            error = thrown
