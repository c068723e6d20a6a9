"""What must hold of any run, whatever it was about: nothing is lost, mailboxes keep their bounds, no task is left over.

Two sets of books are compared. The harness reads each body that was taken itself, by the rule of reads, and so knows which reads must
be live now; the product says what it has. Counterparts: session.py (the first book), checks.py.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from actors.store.queries import StoreStatusQuery
from actors.testing.bridge import Explained
from actors.testing.faults import places
from actors.testing.timeline import explained, tree_text

if TYPE_CHECKING:
    from actors.testing.session import Session

__all__ = ["Conservation", "InvariantBroken"]

NAMED_MAX: Final = 5
"""Broken things that are named one by one in a message."""

Line = tuple[str, str, str]
"""(account, Secret or collection, verb)."""


class InvariantBroken(Explained):
    """Something that holds of every run did not hold of this one."""


class Conservation:
    """The invariants of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _broken(self, expected: str, found: list[str], **more: Any) -> InvariantBroken:
        rest = f"; and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
        return InvariantBroken(explained(self._session, expected, "; ".join(found[:NAMED_MAX]) + rest, **more))

    async def nothing_lost(self) -> None:
        """Accepted = live + expired + dropped with a reason + dead letters."""
        session = self._session
        system = await session.up()
        await session.settled()
        found = [
            f"an answer counts {each.events} items, {each.reads} reads and {sum(each.dropped.values())} dropped"
            for each in session.answers
            if each.events != each.reads + sum(each.dropped.values())
        ]
        status = await session.refs.store.ask(StoreStatusQuery(), timeout_s=20.0)
        items = sum(batch.events for batch in session.accepted)
        if status.counts.events != items:
            found.append(f"the store counts {status.counts.events} items; {items} were accepted")
        reads = sum(batch.events - sum(batch.dropped.values()) for batch in session.accepted)
        if status.counts.reads != reads:
            found.append(f"the store counts {status.counts.reads} reads; {reads} were accepted")
        evidence = [
            each for each in await session.evidence(live=True) if each.verb is not None
        ]  # sensors have no batches
        shown: Counter[Line] = Counter()
        for each in evidence:
            account = f"{each.service_account.namespace}/{each.service_account.name}"
            secret = "/".join(part or "*" for part in (each.secret.namespace, each.secret.name))
            shown[account, secret, each.verb] += each.count
        due = self._due()
        for line, count in due.items():
            if shown[line] < count:
                account, secret, verb = line
                found.append(
                    f"{count} live reads ({verb} {secret} by {account}) were accepted, evidence shows {shown[line]}"
                )
        for account, secret, verb in shown:
            if (account, secret, verb) not in due and verb != "watch":
                found.append(f"evidence shows {verb} {secret} by {account} as live, and no accepted read of it is")
        if len(evidence) != status.observations:
            found.append(f"the store has {status.observations} live observations, the engine {len(evidence)}")
        if found:
            letters = system.dead_letters.statistics().by_reason
            hint = f"dead letters by reason: {({k: v for k, v in letters.items() if v}) or 'none'}"
            raise self._broken(
                "nothing is lost (accepted = live + expired + dropped with a reason + dead letters)",
                found,
                evidence=evidence,
                hints=(hint,),
            )

    def _due(self) -> Counter[Line]:
        """What the harness's own book says must be live now; watches, whose ends come in items of their own, are left out."""
        now = self._session.now()
        due: Counter[Line] = Counter()
        for batch in self._session.accepted:
            for read in batch.reads:
                if read.ends_only or read.verb == "watch" or read.at + self._session.ttl_s <= now:
                    continue
                secret = "/".join(part or "*" for part in (read.scope.namespace, read.scope.name))
                due[str(read.account), secret, read.verb] += 1
        return due

    async def mailboxes_bounded(self) -> None:
        """No mailbox has held more than its bound, none overflowed."""
        system = await self._session.up()
        found = []
        for place in places(system.snapshot()):
            mailbox = place.mailbox
            if mailbox.high_water > mailbox.capacity:
                found.append(f"{place.path} held {mailbox.high_water} messages of at most {mailbox.capacity}")
            if mailbox.overflows:
                found.append(f"{place.path} overflowed {mailbox.overflows} times (capacity {mailbox.capacity})")
        if found:
            raise self._broken("every mailbox keeps its bound and none overflowed", found)

    async def no_leaked_tasks(self) -> None:
        """Tasks below the system are those of actors, and the system's own."""
        system = await self._session.up()
        known = {place.path for place in places(system.snapshot())}
        found = [
            f"a task {task.name} runs below {system.name}"
            for task in system.tasks()
            if task.name not in known and not any(own in task.name for own in ("Timers.run", "_later", "beside"))
        ]
        if found:
            raise self._broken("no task runs but those of actors and the system's own", found)

    async def tree(self, paths: tuple[str, ...]) -> None:
        """Exactly these run; a path may be a pattern as in a shell."""
        system = await self._session.up()
        running = {
            place.path.removeprefix(f"/{system.name}/"): place.state
            for place in places(system.snapshot())
            if place.path != f"/{system.name}"
        }
        found = [f"{path} is {state}" for path, state in running.items() if state != "running"]
        found += [f"{path} is there and was not expected" for path in running if not _among(path, paths)]
        found += [f"nothing is called {path}" for path in paths if "*" not in path and path not in running]
        if found:
            raise self._broken(f"the tree is {', '.join(paths)}", found)

    async def no_dead_letters(self) -> None:
        """None was counted."""
        system = await self._session.up()
        letters = list(system.dead_letters)
        if letters:
            found = [f"{each.message_type} for {each.path}: {each.reason.value}" for each in letters]
            raise self._broken("there are no dead letters", found)

    async def tree_text(self) -> str:
        """The tree."""
        return tree_text((await self._session.up()).snapshot(), 0)


def _among(path: str, paths: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(path, each) for each in paths)
