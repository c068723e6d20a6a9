"""Child processes of a command: started in a session of their own, read line by line, and ended in every case.

Used by demo.py. On Trio; nothing here outlives the block that started it.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import trio

__all__ = ["Child", "ChildError", "free_port", "until_signal"]

T = TypeVar("T")

GRACE_S: Final = 10.0
"""How long a child may take to end after SIGTERM before it is killed."""
LINE_BYTES_MAX: Final = 1 << 20
"""A longer line of a child's output is cut here."""
TAIL_BYTES: Final = 2000
"""How much of the end of a child's log is shown when it failed."""
PORT_TRIES_MAX: Final = 100


class ChildError(Exception):
    """A child ended that should have gone on. The text is a line, and the end of its log."""


class Child:
    """One child process; `log` takes its stderr.

    Resource handling: leaving the block sends SIGTERM, waits GRACE_S, then kills; this cannot be cancelled.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self._command, self._log, self._environment = name, list(command), log, dict(environment)
        self._process: trio.Process | None = None

    @property
    def process(self) -> trio.Process:
        """The running process; only inside the block."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal reaches the command alone, which then ends its children in order.
            self._process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True):
            if not self.ended:
                self.process.terminate()
                with trio.move_on_after(GRACE_S):
                    await self.process.wait()
            if not self.ended:
                self.process.kill()
            await self.process.wait()
            if self.process.stdout is not None:
                await self.process.stdout.aclose()

    def check(self, *, allow_end: bool = False) -> None:
        """ChildError if it has ended; with `allow_end` only if it failed."""
        code = self.process.poll()
        if code is not None and not (allow_end and code == 0):
            raise ChildError(f"{self.name} ended with {code}: {self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        text = self._log.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace").strip()
        return text or "it said nothing"

    async def read_lines(self, handle: Callable[[bytes], None]) -> None:
        """Calls `handle` with each line of its stdout, without its end, until there are no more."""
        stream = self.process.stdout
        if stream is None:
            raise RuntimeError(f"{self.name} was started without a pipe")
        rest = bytearray()
        async for chunk in stream:
            rest += chunk
            *lines, last = rest.split(b"\n")
            for line in lines:
                handle(bytes(line[:LINE_BYTES_MAX]))
            rest = bytearray(last[:LINE_BYTES_MAX])
        if rest:
            handle(bytes(rest))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, below those that the kernel takes for outgoing connections."""
    chance = random.SystemRandom()
    for _ in range(PORT_TRIES_MAX):
        port = chance.randrange(10_240, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port of 127.0.0.1 in {PORT_TRIES_MAX} tries")


async def until_signal(work: Callable[[], Awaitable[T]]) -> T | None:
    """What `work` returns, or None when SIGINT or SIGTERM came first and it was cancelled."""
    result: T | None = None

    async def watch(scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            ready.set()
            async for _ in signals:
                scope.cancel()

    ready = trio.Event()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(watch, scope)
            await ready.wait()
            result = await work()
        nursery.cancel_scope.cancel()
    return result
