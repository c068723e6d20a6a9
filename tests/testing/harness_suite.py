"""The harness's own suite of the product: checks that any product which keeps its promises passes. And mutations that break it.

Counterpart: test_harness_mutations.py, which holds that each mutation fails a check, with a message that names what broke.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from actors import tree
from actors.engine.announcer import AnnouncerActor
from actors.grants.rules import SecretRule
from actors.parser import core
from actors.runtime.mailbox import Mailbox
from actors.runtime.supervisor import Supervisor
from actors.store.digests import Digests
from actors.testing import Explained
from actors.testing.worlds import World


def _cluster(world: World) -> None:
    world.cluster.deployment("app/web", account="reader-sa", exposed=True).role("app/reader", "get db-creds")
    world.cluster.bind("app/reader")
    for number in range(12):
        world.cluster.deployment(f"app/job-{number}", account=f"job-{number}")
        world.cluster.role(f"app/job-{number}", f"get key-{number}").bind(f"app/job-{number}")


def nothing_is_lost(world: World) -> None:
    """Twelve accounts read in turn; looked at after each read, before a later one could make good what was lost."""
    _cluster(world)
    for number in range(24):
        job = number % 12
        world.protector.post(world.audit.get(f"app/key-{job}").by(f"app/job-{job}"))
        world.protector.assert_nothing_lost()


def crashes_are_borne(world: World) -> None:
    """Each of three actors fails once, and all runs again."""
    _cluster(world)
    for actor in ("engine", "store", "router"):
        world.faults.crash(actor, on=2)
    for _ in range(3):
        world.protector.post(world.audit.get("app/db-creds").by("app/reader-sa"))
        world.clock.advance("5s")
    world.protector.chain("app/web", "app/db-creds").is_lit()
    names = (
        "store",
        "cluster",
        "announcer",
        "engine",
        "behaviors",
        "accounts",
        "accounts/*",
        "router",
        "parser",
        "parser-large",
    )
    world.protector.assert_tree("pipeline", *(f"pipeline/{name}" for name in names))


def expiry_is_exact(world: World) -> None:
    """Lit until the last millisecond, dark at the next."""
    _cluster(world)
    world.protector.post(world.audit.get("app/db-creds").by("app/reader-sa"))
    world.clock.advance("299.999s")
    world.protector.chain("app/web", "app/db-creds").is_lit()
    world.protector.assert_nothing_lost()
    world.clock.advance("1ms")
    world.protector.chain("app/web", "app/db-creds").is_dark()


def reasons_are_right(world: World) -> None:
    """Each ending of a request under its own reason."""
    _cluster(world)
    read = world.audit.get("app/db-creds").by("app/reader-sa")
    for sentence, reason in (
        (read.denied(), "denied"),
        (read.not_found(), "not_found"),
        (read.failed(), "failed"),
        (read.impersonating("app/job-1"), "impersonated"),
        (read.of("configmaps"), "not_a_secret"),
    ):
        dropped = world.protector.post(sentence).dropped
        if dropped != {reason: 1}:
            raise Explained(f"expected: {sentence} is dropped as {reason}\n   found: {dropped}")


def grants_are_exact(world: World) -> None:
    """One Secret by name is one Secret; its neighbour is refused, and a read of it lights nothing."""
    _cluster(world)
    world.protector.access("app/reader-sa").may("get", "app/db-creds")
    world.protector.access("app/reader-sa").may_not("get", "app/smtp")
    world.protector.access("app/reader-sa").may_not("list", "app/*")
    world.protector.secret("app/db-creds").is_readable_only_by("app/reader-sa")


def repeats_change_nothing(world: World) -> None:
    """The same body twice is one batch."""
    _cluster(world)
    event = (
        world.audit.get("app/db-creds")
        .by("app/reader-sa")
        .events(world.cluster, world.clock.now(), world.session.chance)
    )
    for _ in range(2):
        world.protector.post(*event)
    world.protector.assert_nothing_lost()


def flips_are_told(world: World) -> None:
    """A line when it lights, a line when it goes dark."""
    _cluster(world)
    world.protector.post(world.audit.get("app/db-creds").by("app/reader-sa"))
    world.clock.advance("6m")
    told = [line["event"] for line in world.protector.flips]
    if told != ["chain.corroborated", "chain.expired"]:
        raise Explained(f"expected: the flip log tells chain.corroborated, then chain.expired\n   found: {told}")


SUITE: tuple[Callable[[World], None], ...] = (
    nothing_is_lost,
    crashes_are_borne,
    expiry_is_exact,
    reasons_are_right,
    grants_are_exact,
    repeats_change_nothing,
    flips_are_told,
)


# --- mutations --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _instead(owner: Any, name: str, new: Any) -> Iterator[None]:
    old = getattr(owner, name)
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, old)


def _drop_one_in_fifty() -> Any:
    count, put = itertools.count(1), Mailbox.put

    def lossy(self: Any, message: Any, reply: Any = None) -> None:
        if reply is not None or next(count) % 50:
            put(self, message, reply)

    return _instead(Mailbox, "put", lossy)


def _skip_one_restart() -> Any:
    skipped: list[str] = []
    restart = Supervisor._restart

    def sometimes(self: Any, child: Any, exit_: Any) -> None:
        if skipped:
            restart(self, child, exit_)
        skipped.append(child.path)

    return _instead(Supervisor, "_restart", sometimes)


def _expire_a_tick_early() -> Any:
    window = tree._window
    return _instead(tree, "_window", lambda parts: window(parts) | {"ttl_s": parts.ttl_s - 0.001})


def _swap_a_reason() -> Any:
    batch_of = core._batch_of

    def swapped(body: bytes, peer: str, tally: Any, error: Any) -> Any:
        if "denied" in tally.dropped:
            tally.dropped["failed"] = tally.dropped.pop("denied")
        return batch_of(body, peer, tally, error)

    return _instead(core, "_batch_of", swapped)


def _widen_a_rule() -> Any:
    return _instead(SecretRule, "allows", lambda self, verb, name: verb in self.verbs and name is not None)


def _forget_repeats() -> Any:
    return _instead(Digests, "get", lambda _self, _digest: None)


def _lose_a_flip() -> Any:
    put = AnnouncerActor._put
    count = itertools.count(1)

    def lossy(self: Any, lines: list[str], announced: Any) -> None:
        put(self, lines if next(count) % 2 else [], announced)

    return _instead(AnnouncerActor, "_put", lossy)


class Mutation(NamedTuple):
    """How the product is broken, by what, and a word that the message must have."""

    name: str
    broken: Callable[[], Any]
    names_it: str


MUTATIONS = (
    Mutation("one message in fifty is dropped", _drop_one_in_fifty, "evidence shows"),
    Mutation("one restart is skipped", _skip_one_restart, "failed 1 times and was not restarted"),
    Mutation("an expiry is a tick early", _expire_a_tick_early, "is dark"),
    Mutation("one drop reason is swapped", _swap_a_reason, "dropped as denied"),
    Mutation("a grant's rule is widened", _widen_a_rule, "RoleBinding/app/reader"),
    Mutation("repeated batches are not recognised", _forget_repeats, "the store counts 2 items"),
    Mutation("every second flip is lost", _lose_a_flip, "chain.expired"),
)


def failures(mutation: Mutation | None) -> list[tuple[str, str]]:
    """(check, first lines of its message) of every check that fails under the mutation (None: the product as it is)."""
    found = []
    for check in SUITE:
        with mutation.broken() if mutation is not None else contextlib.nullcontext():
            world = World(1, 300.0)
            try:
                with world:
                    check(world)
            except AssertionError as error:
                found.append((check.__name__, str(error)))
    return found


def table() -> str:
    """The table of docs/testing.md."""
    rows = ["| broken on purpose | caught by | the message begins |", "|---|---|---|"]
    for mutation in MUTATIONS:
        for check, text in failures(mutation):
            said = "; ".join(line.strip() for line in text.splitlines()[:3] if line.strip())
            rows.append(f"| {mutation.name} | `{check}` | {said} |")
    return "\n".join(rows)


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    print(table())  # noqa: T201 - for a person who brings docs/testing.md up to date
