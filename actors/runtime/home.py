"""Which thread and Trio loop something belongs to, so that other threads can hand it work.

Counterpart: futures and mailboxes, which are used from the Trio thread directly and from any other thread by way of the token.
"""

from __future__ import annotations

import threading

import trio


class Home:
    """One running Trio loop: its thread and the token by which other threads reach it."""

    __slots__ = ("thread_id", "token")

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()
        self.token = trio.lowlevel.current_trio_token()


_current: trio.lowlevel.RunVar[Home] = trio.lowlevel.RunVar("actors.runtime.home")


def current_home() -> Home:
    """The home of the Trio loop that runs in this thread; RuntimeError outside of Trio."""
    try:
        return _current.get()
    except LookupError:
        home = Home()
        _current.set(home)
        return home
