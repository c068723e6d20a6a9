"""Mailboxes that do a little more for each message: merge those with the same key, carry context variables.

Counterpart: mailbox.py has the plain one. A place gets the least that its actor class and its system need.
"""

from __future__ import annotations

import contextvars
from collections.abc import Hashable
from typing import Any

from actors.runtime.entry import Entry
from actors.runtime.future import TrioFuture
from actors.runtime.mailbox import Mailbox


class ConflatingMailbox(Mailbox):
    """A mailbox whose actor class names the key of each message; tells with the same key become one."""

    __slots__ = ()

    def put(self, message: Any, reply: TrioFuture[Any] | None = None) -> None:
        """Queue a message, or merge it into the queued one with the same key. Asks are never merged: each needs its reply."""
        if reply is None:
            key = self._cell.actor_class.conflate_key(message)
            if key is not None:
                self.put_keyed(message, key)
                return
        super().put(message, reply)

    def put_keyed(self, message: Any, key: Hashable) -> None:
        """Queue a message unless one with this key is queued already, which it then replaces in place (see `Actor.conflate`).

        A merged message keeps the place, the age and the context of the first.
        """
        if self._index is None:
            self._index = {}
        queued = self._index.get(key)
        if queued is not None and self.limit >= 0:
            queued.message = self._cell.actor_class.conflate(queued.message, message)
            return
        self.put_entry(Entry(message, None, self._monotonic(), key, context=self.carried()))


class TracedMailbox(Mailbox):
    """A mailbox of a system with `trace_context`: each entry carries its teller's context variables."""

    __slots__ = ()

    def put(self, message: Any, reply: TrioFuture[Any] | None = None) -> None:
        """As in any mailbox, with the context."""
        self.put_entry(Entry(message, reply, self._monotonic(), context=contextvars.copy_context()))

    def carried(self) -> contextvars.Context:
        """A copy of the caller's context variables."""
        return contextvars.copy_context()


class TracedConflatingMailbox(ConflatingMailbox, TracedMailbox):
    """Both."""

    __slots__ = ()


def mailbox_class(*, keyed: bool, traced: bool) -> type[Mailbox]:
    """The mailbox for an actor class that names keys or does not, in a system that carries context variables or does not."""
    if traced:
        return TracedConflatingMailbox if keyed else TracedMailbox
    return ConflatingMailbox if keyed else Mailbox
