"""A process that follows an audit log again and again, and is killed each time but the last with SIGKILL, at a random moment.

Run as `python killed_follower.py LOG DATABASE LINES ROUNDS SEED`. Each round is a fork of this process, which has loaded everything
and runs nothing itself. The last one goes on until LINES reads are in the history, and then prints how often each number was read.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import trio

from actors.auditlog import AuditLogActor
from actors.evidence import Account
from actors.parser import ParserActor
from actors.runtime import Child, SupervisorSpec, open_system
from actors.store import SqliteJournal, StoreActor
from actors.store.queries import HistoryQuery

READER = Account("app", "reader-sa")
PATIENCE_S = 240.0


class Nobody:
    """The router that is not there."""

    def tell(self, message: object) -> None:
        """Nothing."""


async def follow(log: Path, database: Path, lines: int) -> Counter[str]:
    """Until so many reads are there and some time longer, in which one that comes twice would come."""
    journal = SqliteJournal(database)
    async with open_system("protector") as system:
        store, parser = system.ref("/protector/log/store"), system.ref("/protector/log/parser")
        children = (
            Child("store", StoreActor, (journal, Nobody())),
            Child("parser", ParserActor),
            Child("follower", AuditLogActor, (log, parser, store)),
        )
        await system.start(SupervisorSpec("log", children))
        deadline, enough = trio.current_time() + PATIENCE_S, 0
        while True:
            rows = (await store.ask(HistoryQuery(READER), timeout_s=60)).rows
            found = Counter({row.scope.name or "": row.count for row in rows})
            enough += found.total() >= lines
            if enough > 8 or trio.current_time() > deadline:
                return found
            await trio.sleep(0.1)


def main() -> None:
    """The rounds."""
    log, database, lines, rounds, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6])
    source = random.Random(seed)
    for _ in range(rounds):
        child = os.fork()
        if child == 0:
            trio.run(follow, log, database, sys.maxsize)
            os._exit(3)
        time.sleep(source.uniform(0.02, 0.6))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("a follower ended by itself")
    sys.stdout.write(json.dumps(trio.run(follow, log, database, lines)) + "\n")


if __name__ == "__main__":
    main()
