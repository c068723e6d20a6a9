"""Context variables that travel with a message (structlog, OpenTelemetry), for systems opened with `trace_context=True`.

Counterpart: a mailbox of such a system copies the teller's context into each entry, the loop (loop.py) runs the handler in it. Off by
default: the copy costs about as much as the rest of a tell.
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
