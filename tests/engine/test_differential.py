"""Whatever happened on the way, the engine ends up like a fresh one that is told the present; and it says what changed."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

ACCOUNTS = ("app/reader", "app/other")
SECRETS = ("app/a", "app/b", "app/*", "*", "other/a")
GRANTS = {
    "named": ("get,list", ("a", "b"), "app"),
    "whole": ("list", (), "app"),
    "gets": ("get", (), "app"),
    "wide": ("get,list,watch", (), None),
}

pods = st.tuples(
    st.just("pod"),
    st.integers(0, 3),
    st.sampled_from(ACCOUNTS),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), ("a",)]),
)
operations = st.one_of(
    pods,
    st.tuples(st.just("unpod"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("bind"), st.sampled_from(sorted(GRANTS)), st.sampled_from((*ACCOUNTS, "system:authenticated"))),
    st.tuples(st.just("unbind"), st.sampled_from(sorted(GRANTS))),
    st.tuples(st.just("service"), st.sampled_from(["ClusterIP", "LoadBalancer"]), st.booleans()),
    st.tuples(
        st.just("read"), st.sampled_from(ACCOUNTS), st.sampled_from(["get", "list", "watch"]), st.sampled_from(SECRETS),
        st.sampled_from([None, 0, 1, 2, 3]), st.sampled_from([None, *sorted(GRANTS)]), st.sampled_from([0, 20]),
    ),
    st.tuples(st.just("wait"), st.sampled_from([1, 4, 100, 290])),
)  # fmt: skip
reads_of_one_chain = st.one_of(
    st.tuples(
        st.just("read"),
        st.just("app/reader"),
        st.sampled_from(["get", "get", "watch"]),
        st.sampled_from([f"app/{name}" for name in "abcdef"]),
        st.sampled_from([None, 0, 2]),
        st.sampled_from(["gets", "gets", "wide", None]),
        st.sampled_from([0, 20]), st.sampled_from([False, False, True]),
    ),
    st.tuples(st.sampled_from(["bind"]), st.just("gets"), st.just("app/reader")),
    st.tuples(st.just("unbind"), st.just("gets")),
    st.tuples(st.just("wait"), st.sampled_from([1, 4, 285, 700])),
)  # fmt: skip
settings_ = st.tuples(*[st.sampled_from([True, True, True, False])] * 6)


class Story:
    """Carries out operations on a world, and knows what a newcomer would be told."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.rbac: dict[Any, list[Any]] = {}
        self.services: dict[str, Any] = {}

    def begin(self, setting: tuple[bool, ...]) -> None:
        """A cluster to begin with, so that few steps reach far."""
        steps = [
            ("pod", 0, "app/reader", False, True, ()),
            ("pod", 1, "app/reader", False, True, ("a",)),
            ("pod", 2, "app/other", False, True, ()),
            ("bind", "gets", "app/reader"),
            ("bind", "wide", "system:authenticated"),
            ("bind", "named", "app/reader"),
        ]
        for step, wanted in zip(steps, setting, strict=True):
            if wanted:
                self.act(step)

    def act(self, operation: tuple[Any, ...]) -> None:
        world = self.world
        world.now += 0.013  # so that no two things happen at the same moment
        getattr(self, "do_" + operation[0])(*operation[1:])
        world.flips += world.engine.take_flips()

    def do_pod(self, number: int, account: str, finished: bool, token: bool, mounts: tuple[str, ...]) -> None:
        world = self.world
        name = f"w{number % 2}-{number}{account[-1]}"
        labels = (("app", f"w{number % 2}"),)
        world.apply(world.pod(name, account, finished=finished, bound_token=token, mounts=mounts, labels=labels))
        world.reattribute()

    def do_unpod(self, number: int, forget: bool) -> None:
        world = self.world
        for pod in [p for p in world.pods.values() if p.name[3:4] == str(number)]:
            if forget:
                world.apply(forgotten=(pod.uid,))
            else:
                world.apply(replace(pod, gone_at=pod.gone_at or world.now))
        world.reattribute()

    def do_bind(self, name: str, to: str) -> None:
        world = self.world
        verbs, names, ns = GRANTS[name]
        role = world.role(name, verbs, names, ns)
        self.rbac[role.name] = [role]
        binding = replace(world.binding(name, to, ns=ns), valid_from=world.now)
        self.rbac[binding.name] = [*self._past(binding.name), binding]
        world.apply(*self.rbac[role.name], *self.rbac[binding.name])

    def _past(self, key: Any) -> list[Any]:
        return [each if each.gone_at else replace(each, gone_at=self.world.now) for each in self.rbac.get(key, [])]

    def do_unbind(self, name: str) -> None:
        key = self.world.binding(name, "app/x", ns=GRANTS[name][2]).name
        if key in self.rbac:
            self.rbac[key] = self._past(key)
            self.world.apply(*self.rbac[key])

    def do_service(self, type_: str, gone: bool) -> None:
        service = self.world.service("w0", type_, gone_at=self.world.now if gone else None)
        self.services["w0"] = service
        self.world.apply(service)

    def do_read(
        self,
        account: str,
        verb: str,
        secret: str,
        pod: int | None,
        named: str | None,
        age_s: int,
        borrowed: bool = False,
    ) -> None:
        world = self.world
        if verb == "get" and secret.endswith("*"):
            return
        claim = None if pod is None else f"w{pod % 2}-{pod}{account[-1]}"
        grant = None if named is None else world.named(named, GRANTS[named][2])
        held = world.now + 30 if verb == "watch" and age_s else 0.0
        world.read(account, verb, secret, pod=claim, named=grant, age_s=age_s, held_open_until=held, borrowed=borrowed)

    def do_wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    def retold(self, make_world: Any) -> Any:
        """A fresh engine, told the present."""
        old = self.world
        new = make_world(copy.deepcopy(old.engine.ended))
        new.now = old.now
        records = [*old.pods.values(), *self.services.values(), *(r for held in self.rbac.values() for r in held)]
        new.apply(*records, full=True)
        new.observations = old.observations
        new.reattribute()
        new.engine.tick(new.now)
        return new


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(setting=settings_, operations=st.lists(operations, min_size=4, max_size=30))
def test_the_engine_ends_up_like_a_fresh_one(make_world, setting, operations):
    """Any sequence of pods, grants, Services, reads and time: chains, lights and evidence are those of a newcomer."""
    story = Story(make_world())
    story.begin(setting)
    for operation in operations:
        story.act(operation)
    fresh = story.retold(make_world)
    assert list(fresh.chains()) == list(story.world.chains())
    assert fresh.evidence(live=True) == story.world.evidence(live=True)
    assert fresh.engine.judge.unexplained == story.world.engine.judge.unexplained
    assert set(fresh.engine.graph.workloads) == set(story.world.engine.graph.workloads)
    assert set(fresh.engine.graph.accounts) == set(story.world.engine.graph.accounts)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(operations=st.lists(st.one_of(reads_of_one_chain, reads_of_one_chain, operations), min_size=4, max_size=30))
def test_new_evidence_taken_in_one_go_is_as_if_it_had_been_evaluated(make_world, operations):
    """The short way of what is most common: the same answers, flips, revisions and touched objects after every step."""
    short, long = Story(make_world()), Story(make_world())
    long.world.engine.edges.begin_plainly = lambda _: False
    for story in (short, long):
        story.begin((True, False, False, True, False, False))
        story.do_wait(5)  # some reads are older than the grant, most are not
        story.do_read("app/reader", "get", "app/z", 0, "gets", 0)
    for operation in operations:
        for story in (short, long):
            story.act(operation)
        one, other = short.world, long.world
        assert one.answer() == other.answer(), operation
        assert one.evidence(live=True) == other.evidence(live=True)
        assert one.flips == other.flips
        assert (one.engine.revision, one.engine.touched) == (other.engine.revision, other.engine.touched)
        assert one.engine.next_at() == other.engine.next_at()
        assert len(one.engine.edges.proven_due) == len(other.engine.edges.proven_due)
        for account, node in one.engine.graph.accounts.items():
            assert node.lighting == other.engine.graph.accounts[account].lighting
    for one, other in zip(items_of(short), items_of(long), strict=True):
        assert {name: getattr(one, name) for name in JUDGED} == {name: getattr(other, name) for name in JUDGED}


JUDGED = ("explained", "explained_at", "steady", "named_grants", "counted", "held_open", "second")


def items_of(story: Story) -> list[Any]:
    """All live evidence of the story's engine, in the order in which it began."""
    return sorted((item for _, _, item in story.world.engine.lights.held()), key=lambda item: item.number)


def test_a_second_secret_of_a_lit_chain_is_taken_in_one_go(make_world):
    """Or else the comparison above would compare nothing."""
    world = make_world()
    world.apply(world.pod("web-1"))
    world.grant("all")
    ways, short = [], world.engine.edges.begin_plainly
    world.engine.edges.begin_plainly = lambda item: ways.append(short(item)) or ways[-1]
    for secret in ("app/a", "app/b"):
        world.wait(1)
        world.read("app/reader", "get", secret, pod="web-1", named=world.named("all"))
    assert ways == [False, True]


def test_a_grant_that_is_named_again_proves_as_long_as_the_newest_read_lives(make_world):
    """Repeated reads: the first one's end is not the end of the proof, the last one's is."""
    world = make_world()
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.wait(1)
    for _ in range(3):
        world.read("app/reader", "get", "app/a", pod="web-1", named=world.named("all"))
        world.wait(200)
    world.read("app/reader", "get", "app/b", pod="web-1")
    (chain,) = world.chains()
    assert chain.corroboration == "proven"
    world.wait(101)
    (chain,) = world.chains()
    assert chain.corroboration == "possible"


def test_proof_that_ends_is_noticed_again_after_it_was_taken_in_one_go(make_world):
    """The chain is lit by a read that names nothing; a new one proves it, and no longer than it lives."""
    world = make_world()
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.wait(1)
    world.read("app/reader", "get", "app/a", pod="web-1", named=world.named("all"))
    world.wait(290)
    world.read("app/reader", "get", "app/b", pod="web-1")
    world.wait(20)
    world.read("app/reader", "get", "app/c", pod="web-1", named=world.named("all"))
    world.wait(100)
    for _ in range(30):
        world.read("app/reader", "get", "app/b", pod="web-1")
        world.wait(10)
    (chain,) = world.chains()
    assert (chain.corroboration, world.engine.edges.proven_due.next_at()) == ("possible", None)
    world.read("app/reader", "get", "app/d", pod="web-1", named=world.named("all"))
    (chain,) = world.chains()
    assert chain.corroboration == "proven"
    assert world.engine.edges.proven_due.next_at() == world.now + 300.0


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(setting=settings_, operations=st.lists(operations, min_size=4, max_size=30))
def test_the_revision_rises_exactly_when_the_answer_changes(make_world, setting, operations):
    """After each step: another answer if and only if another revision; flips tell every change of light."""
    story = Story(make_world())
    story.begin(setting)
    world = story.world
    before, revision = world.answer(), world.engine.revision
    for operation in operations:
        story.act(operation)
        after = world.answer()
        assert (before != after) == (revision != world.engine.revision), operation
        before, revision = after, world.engine.revision


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(setting=settings_, operations=st.lists(operations, min_size=4, max_size=30))
def test_the_flips_are_the_difference_between_what_was_lit_and_what_is(make_world, setting, operations):
    """Played back, the flips give exactly the chains that are lit; no chain is lit or dark twice in a row."""
    story = Story(make_world())
    story.begin(setting)
    lit = {flip.chain for flip in story.world.flips}
    story.world.flips.clear()
    for operation in operations:
        story.act(operation)
        for flip in story.world.flips:
            if flip.event == "chain.corroborated":
                assert flip.chain not in lit
                lit.add(flip.chain)
            elif flip.event == "chain.expired":
                assert flip.chain in lit
                lit.remove(flip.chain)
        story.world.flips.clear()
        assert lit == {c.id for c in story.world.chains(corroborated=True)}
        story.world.flips.clear()


def test_a_full_resynchronisation_forgets_what_is_not_named_and_flips_nothing(make_world):
    """The cluster's records come again from the beginning: what is in them stays as it was, what is not goes."""
    world = make_world()
    world.apply(world.pod("web-1"), world.pod("old-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.flips.clear()
    revision = world.engine.revision
    world.apply(world.pod("web-1"), full=True, more=True)
    world.apply(world.role("all"), more=True)
    assert revision == world.engine.revision
    world.apply(world.binding("all", "app/reader"))
    assert world.flips == []
    assert [c.entry.name for c in world.chains()] == ["web"]


def test_applying_the_same_again_changes_nothing(make_world):
    """Records and evidence that are here already do not raise the revision."""
    world = make_world()
    records = (
        world.pod("web-1", mounts=("db",)),
        world.role("all"),
        world.binding("all", "app/reader"),
        world.service("web"),
    )
    world.apply(*records)
    world.read("app/reader", "get", "app/db", pod="web-1")
    before = world.engine.revision
    world.apply(*records)
    world.reattribute()
    assert before == world.engine.revision
