"""One measure as a JSON line, and the ways of measuring that the benches share."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROUNDS = 5


@dataclass(frozen=True)
class Measure:
    """`value` in `unit`; `ratio` is against `against`; `must` is the bound on the ratio (or on the value), `ok` whether it holds."""

    bench: str
    value: float
    unit: str
    how: str
    against: str | None = None
    ratio: float | None = None
    must: str | None = None
    ok: bool | None = None

    def show(self) -> None:
        """Writes the line."""
        row = asdict(self)
        for key in ("value", "ratio"):
            if isinstance(row[key], float):
                row[key] = float(f"{row[key]:.4g}")
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes, with the garbage collector as it is in production: on."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_in_turn(*sides: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """The least of each side's measures, the sides taken in turn."""
    taken = [[side() for side in sides] for _ in range(rounds)]
    return [min(column) for column in zip(*taken, strict=True)]


class Cpu:
    """CPU seconds of another process, all its threads, the ended ones too as far as they were seen."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}/task")
        self._threads: dict[str, int] = {}

    def read(self) -> float:
        """Seconds so far."""
        for task in self._folder.iterdir():
            try:
                ran = int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue
            self._threads[task.name] = max(ran, self._threads.get(task.name, 0))
        return sum(self._threads.values()) / 1e9

    def wait_until_asleep(self, looks: int = 3, every_s: float = 0.001, limit_s: float = 20.0) -> None:
        """Until every thread sleeps at so many looks in a row: what the process had to do is done."""
        deadline = time.monotonic() + limit_s
        asleep = 0
        while asleep < looks:
            if time.monotonic() > deadline:
                raise RuntimeError("the server never went to sleep")
            time.sleep(every_s)
            asleep = asleep + 1 if all(state == "S" for state in self._states()) else 0

    def _states(self) -> list[str]:
        found = []
        for task in self._folder.iterdir():
            try:
                found.append((task / "stat").read_text().rpartition(")")[2].split()[0])
            except OSError:
                continue
        return found

    def read_when_quiet(self, quiet_s: float = 0.15, slack_s: float = 0.004, limit_s: float = 20.0) -> float:
        """Seconds, once hardly any were used for `quiet_s`."""
        deadline = time.monotonic() + limit_s
        last = self.read()
        while time.monotonic() < deadline:
            time.sleep(quiet_s)
            now = self.read()
            if now - last < slack_s:
                return now
            last = now
        raise RuntimeError("the server never became quiet")
