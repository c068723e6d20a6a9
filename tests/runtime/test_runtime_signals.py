"""Signals of a real second process: it stops in order and within a bound, at once at the second one, and shows its stacks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_run import run

import actors.runtime.signals
from actors.runtime import open_system, run_until_signal
from actors.runtime.signals import StackPrinter

PATIENCE_S = 30.0

PROGRAM = """
import os, sys, time, threading, pykka, trio
from actors.runtime import Actor, Child, SupervisorSpec, open_system, run_until_signal

def say(text):
    os.write(1, text.encode() + b"\\n")

class Good(Actor):
    async def on_stop(self):
        say("stopped " + self.context.path)

class Hangs(Actor):
    async def on_receive(self, message):
        say("hangs")
        await trio.sleep_forever()

class HoldsUpTheLoop(Actor):
    async def on_receive(self, message):
        self.spins()

    def spins(self):
        say("holds up")
        until = time.monotonic() + message_s
        while time.monotonic() < until:
            pass

class Stuck(pykka.ThreadingActor):
    def on_receive(self, message):
        say("stuck")
        threading.Event().wait()

async def tell_later(ref):
    ref.tell("s3cret")

async def say_up():
    say("up")

what = sys.argv[1]
message_s = 5.0
classes = {"hangs": Hangs, "spins": HoldsUpTheLoop, "stuck": Stuck, "good": Good}

async def main():
    async with open_system("s", stop_timeout_s=float(sys.argv[2])) as system:
        await system.start(Child("good", Good), Child("other", classes[what], stop_timeout_s=float(sys.argv[2]) / 2))
        if what in ("hangs", "stuck"):
            system.ref("/s/other").tell("s3cret")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_up)  # runs once run_until_signal waits: from then on signals are heeded
            if what == "spins":
                nursery.start_soon(tell_later, system.ref("/s/other"))
            say("got " + await run_until_signal(system))
    say("ended")

trio.run(main)
"""


class Program:
    """The process, and what it says line by line."""

    def __init__(self, what: str, stop_timeout_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, what, str(stop_timeout_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def wait_for(self, *lines: str) -> None:
        """Until these were said, in any order."""
        left = set(lines)
        while left:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            left.discard(line.decode().strip())

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str], str]:
        """Exit code, what was said since, without the log; and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        said = [line for line in out.decode().splitlines() if not line.startswith("20")]
        return self.process.returncode, said, err.decode()


@contextlib.contextmanager
def program(what: str, stop_timeout_s: float = 20.0) -> Iterator[Program]:
    """Started, and ended whatever happens, also when the test waits for a line that does not come."""
    made = Program(what, stop_timeout_s)
    watchdog = threading.Timer(PATIENCE_S, made.process.kill)
    watchdog.start()
    try:
        yield made
    finally:
        watchdog.cancel()
        made.process.kill()
        made.process.wait()
        made.process.stdout.close()
        made.process.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_every_actor_in_order(number):
    """Last one first, each with its `on_stop`; the program ends by itself with code 0 and no traceback."""
    with program("good") as process:
        process.wait_for("up")
        process.send(number)
        assert process.end() == (0, [f"got {number.name}", "stopped /s/other", "stopped /s/good", "ended"], "")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["hangs", "stuck"])
def test_one_that_does_not_end_is_cut_off_within_its_bound(what):
    """A handler that sleeps for ever, and a thread that blocks for ever: the others still stop in order."""
    with program(what, stop_timeout_s=1.0) as process:
        process.wait_for("up", what)
        began = time.monotonic()
        process.send(signal.SIGTERM)
        code, said, _ = process.end()
        assert (code, said) == (0, ["got SIGTERM", "stopped /s/good", "ended"])
        assert 0.5 <= time.monotonic() - began < 5.0


@pytest.mark.slow
def test_the_second_signal_ends_it_at_once():
    """It does not wait for the bound of the one that hangs; nothing is stopped in order any more."""
    with program("hangs", stop_timeout_s=1000.0) as process:
        process.wait_for("up", "hangs")
        process.send(signal.SIGTERM)
        process.wait_for("got SIGTERM")
        process.send(signal.SIGINT)
        assert process.end()[:2] == (0, ["ended"])


def _read_stacks(process: Program) -> str:
    """What stands on stderr up to the last line of one answer."""
    lines: list[str] = []
    while True:
        lines.append(process.process.stderr.readline().decode())
        assert lines[-1], lines
        if lines[-1].endswith("actors shown\n"):
            return "".join(lines)


@pytest.mark.slow
def test_sigusr1_prints_the_tree_and_every_stack_and_the_program_goes_on():
    """Twice, and then it still stops in order; no contents of messages."""
    with program("hangs", stop_timeout_s=1.0) as process:
        process.wait_for("up", "hangs")
        for _ in range(2):
            process.send(signal.SIGUSR1)
            text = _read_stacks(process)
            assert text.startswith("/s (RootSupervisor) running, incarnation 1\n")
            assert "  /s/good (Good) running, incarnation 1\n" in text
            assert "/s/other (Hangs) running, incarnation 1, handles str for " in text
            assert "Hangs.on_receive" in text
            assert "s3cret" not in text
        process.send(signal.SIGTERM)
        code, said, _ = process.end()
        assert (code, said[0], said[-1]) == (0, "got SIGTERM", "ended")


@pytest.mark.slow
def test_sigusr1_shows_an_actor_that_holds_up_the_loop():
    """The loop does not run; the signal is answered all the same, with the line where it spins."""
    with program("spins") as process:
        process.wait_for("holds up")
        process.send(signal.SIGUSR1)
        text = _read_stacks(process)
        assert "/s/other (HoldsUpTheLoop) running" in text
        assert "HoldsUpTheLoop.spins" in text


def test_off_the_main_thread_and_a_second_time_it_is_refused():
    """Python delivers signals to the main thread; and one listener is enough for a system."""

    async def refused() -> None:
        async with open_system("s") as system:
            with pytest.raises(RuntimeError, match="main thread"):
                await run_until_signal(system)

    async def twice() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
        async with open_system("s") as system:
            with trio.move_on_after(1.0):
                await run_until_signal(system)
            with pytest.raises(RuntimeError, match="already"):
                await run_until_signal(system)
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before

    raised: list[Any] = []

    def elsewhere() -> None:
        try:
            trio.run(refused)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            raised.append(error)

    thread = threading.Thread(target=elsewhere)  # noqa: TID251 - a second loop in a thread that is not the main one
    thread.start()
    thread.join()
    assert raised == []
    run(twice)


@pytest.mark.slow
def test_those_that_come_while_one_is_being_written_are_answered_by_one_more(monkeypatch):
    """A stderr that nobody reads holds up neither the loop nor memory: at most one text waits to be written."""
    written: list[bytes] = []
    go = threading.Event()

    def write(text: bytes) -> None:
        assert go.wait(PATIENCE_S)
        written.append(text)
        if len(written) == 2:
            trio.from_thread.run_sync(both.set, trio_token=token)

    async def main() -> None:
        nonlocal token
        token = trio.lowlevel.current_trio_token()
        async with open_system("s") as system:
            printer = StackPrinter(system)
            for _ in range(5):
                printer.asked(signal.SIGUSR1, None)
            go.set()
            with trio.fail_after(PATIENCE_S):
                await both.wait()

    token: Any = None
    both = trio.Event()
    monkeypatch.setattr(actors.runtime.signals, "_write", write)
    run(main, real_time=True)
    assert len(written) == 2


def test_a_fault_in_it_does_not_come_out_where_the_signal_happened(monkeypatch):
    """It would be raised in the middle of whatever runs: it is written instead, by its type."""
    written: list[bytes] = []
    done = threading.Event()

    def write(text: bytes) -> None:
        written.append(text)
        done.set()

    class Broken:
        def stacks(self) -> str:
            raise LookupError("s3cret")

    system: Any = Broken()
    monkeypatch.setattr(actors.runtime.signals, "_write", write)
    StackPrinter(system).asked(signal.SIGUSR1, None)
    assert done.wait(PATIENCE_S)
    assert written == [b"the stacks cannot be shown: LookupError\n"]
