"""The actors from the store's changes to the flip log: whoever crashes whenever, the same comes out."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
import trio
from trio_run import run

from actors.attribution import AccountActor, RouterActor, account_of
from actors.engine import AnnouncerActor, EndedRing, EngineActor
from actors.engine.queries import ChainsQuery, EngineStatusQuery, EvidenceQuery
from actors.messages import (
    AccountChanges,
    AccountPods,
    AccountsChanged,
    Announced,
    AnnouncedKeys,
    ClusterChanges,
    ClusterMoved,
    ClusterSince,
    FlipsAnnounced,
    Follow,
    LiveAccounts,
    PodsChanged,
    PodsOf,
)
from actors.runtime import Actor, Backoff, Child, DynamicSpec, Intensity, SupervisorSpec, VirtualClock, open_system


class FakeStore(Actor):
    """Holds observations and what was announced in plain dicts that outlive it; always answers with everything."""

    def __init__(self, held, announced):
        super().__init__()
        self.held = held
        self.announced = announced
        self.told = {}

    async def on_receive(self, message):
        now = self.context.clock.now()
        match message:
            case LiveAccounts():
                live = [a for a, held in self.held.items() if any(o.live_until > now for o in held.values())]
                return AccountsChanged(tuple(live))
            case Follow(account=account, version=since, follower=follower):
                live = tuple(o for o in self.held.get(account, {}).values() if o.live_until > now)
                version, before = self.told.get(account, (0, None))
                if since != version or live != before:
                    self.told[account] = (version + 1, live)
                    follower.tell(AccountChanges(account, 1, version + 1, True, live, since=since))
            case FlipsAnnounced(lit=lit, dark=dark):
                self.announced.difference_update(dark)
                self.announced.update(lit)
            case Announced():
                return AnnouncedKeys(frozenset(self.announced))
        return None


class FakeCluster(Actor):
    """Holds records in a list that outlives it; answers two records at a time."""

    def __init__(self, records, settings):
        super().__init__()
        self.records = records
        self.settings = settings

    async def on_receive(self, message):
        match message:
            case PodsOf(account=account):
                pods = {r.uid: r for r in self.records if getattr(r, "account", None) == account}
                return AccountPods(account, tuple(pods.values()))
            case ClusterSince(version=version):
                part = tuple(self.records[version : version + 2])
                more = version + 2 < len(self.records)
                reached = version + len(part)
                return ClusterChanges(1, reached, version == 0, part, (), more, self.settings["synced"])


class Play:
    """The pipeline behind the store, on a virtual clock."""

    def __init__(self, world, announced=None, ended=None):
        self.clock = VirtualClock()
        self.world = world
        world.now = self.clock.start_at
        self.records = []
        self.announced = set() if announced is None else announced
        self.ended = EndedRing() if ended is None else ended
        self.settings = {"synced": True}
        self.lines = []
        self.heard = []
        self.deaf = False
        self.stalled = None
        self.new = defaultdict(int)
        self.crashes = {}
        self.system = None

    def crash(self, path, at):
        """The actor whose path ends so fails at its nth message (1 is the first)."""
        self.crashes[path] = at

    def intercept(self, path, message):
        for end in list(self.crashes):
            if path.endswith(end):
                self.crashes[end] -= 1
                if self.crashes[end] == 0:
                    del self.crashes[end]
                    raise RuntimeError(f"crash at {type(message).__name__}")

    async def write(self, line: str) -> bool:
        if self.stalled is not None:
            await self.stalled.wait()
        if self.deaf:
            return False
        self.lines.append(json.loads(line))
        return True

    def hear(self, flip, _line):
        self.heard.append(flip.event)

    def events(self):
        return [(line["event"], line["secret"]) for line in self.lines]

    def count(self, account, new):
        self.new[account] += new

    def spec(self, system):
        store, cluster, announcer, engine, router = (
            system.ref(f"/t/p/{name}") for name in ("store", "cluster", "announcer", "engine", "router")
        )

        def account(key):
            return Child(key, AccountActor, (account_of(key), store, cluster, engine))

        many = Intensity(max=1000, within_s=1.0)
        return SupervisorSpec(
            "p",
            (
                Child("store", FakeStore, (self.world.observations, self.announced)),
                Child("cluster", FakeCluster, (self.records, self.settings)),
                Child("announcer", AnnouncerActor, (store, engine, self.write, "prod", self.hear)),
                Child("engine", EngineActor, (cluster, router, announcer, self.ended), {"on_evidence": self.count}),
                DynamicSpec("accounts", account, intensity=many),
                Child("router", RouterActor, (store, system.dynamic("/t/p/accounts"), engine)),
            ),
            intensity=many,
            backoff=Backoff(base_s=0.01, cap_s=0.02),
        )

    async def run(self, story):
        async with open_system("t", clock=self.clock, intercept=self.intercept) as system:
            self.system = system
            await system.start(self.spec(system))
            await story(self)

    async def settle(self, seconds=2.0):
        """Lets everything that was told be heard."""
        await trio.sleep(seconds)
        self.world.now = self.clock.now()

    def ref(self, name):
        return self.system.ref(f"/t/p/{name}")

    def put(self, *records):
        """The cluster has these now."""
        self.records.extend(records)

    def moved(self, *accounts):
        self.ref("engine").tell(ClusterMoved())
        if accounts:
            self.ref("router").tell(PodsChanged(accounts))

    def read(self, account, verb, secret, **more):
        """The store has one more read."""
        self.world.now = self.clock.now()
        observation = self.world.observe(account, verb, secret, **more)
        self.ref("router").tell(AccountsChanged((observation.account,)))
        return observation

    async def lit(self):
        page = await self.ref("engine").ask(ChainsQuery(corroborated=True), timeout_s=5)
        return sorted((c.entry.name, c.grant.binding.name) for c in page.chains)

    async def evidence(self):
        return (await self.ref("engine").ask(EvidenceQuery(), timeout_s=5)).evidence


@pytest.fixture
def play(world):
    found = Play(world)
    found.put(world.pod("web-1"), world.role("all"), world.binding("all", "app/reader"), world.pod("job-1"))
    return found


def test_a_read_lights_its_chain_and_its_end_is_told_to_the_moment(play):
    """Both lines of the flip log, the second 300 s after the read; the account's actor leaves when nothing is live."""

    async def story(play):
        await play.settle()
        read = play.read("app/reader", "get", "app/db", pod="web-1")
        await play.settle()
        assert await play.lit() == [("web", "all")]
        assert play.system.dynamic("/t/p/accounts").keys() == ("app.reader",)
        assert {read.account: 1} == play.new
        await trio.sleep(300)
        assert await play.lit() == []
        assert play.events() == [("chain.corroborated", "app/*"), ("chain.expired", "app/*")]
        assert {"2026-01-01T00:05:02.000000Z"} == {line["at"] for line in play.lines[1:]}
        assert play.system.dynamic("/t/p/accounts").keys() == ()
        assert set() == play.announced

    run(play.run, story)


def test_a_line_that_could_not_be_written_is_said_after_the_next_start(play):
    """Nobody read the flip log: what is lit then is not taken as said."""

    async def unheard(play):
        play.deaf = True
        await play.settle()
        play.read("app/reader", "get", "app/db", pod="web-1")
        await play.settle()
        assert (play.lines, play.heard, play.announced) == ([], ["chain.corroborated"], set())

    async def again(later):
        await later.settle()
        assert later.events() == [("chain.corroborated", "app/*")]

    run(play.run, unheard)
    later = Play(play.world, play.announced)
    later.records = play.records
    run(later.run, again)


def test_a_flip_log_that_nobody_reads_silences_no_other_listener(play):
    """The first line is not written for a minute; both flips are heard at once."""

    async def story(play):
        play.stalled = trio.Event()
        await play.settle()
        play.read("app/reader", "get", "app/db", pod="web-1")
        await play.settle()
        await trio.sleep(300)
        assert (play.lines, play.heard) == ([], ["chain.corroborated", "chain.expired"])
        play.stalled.set()
        await play.settle()
        assert play.events() == [("chain.corroborated", "app/*"), ("chain.expired", "app/*")]

    run(play.run, story)


def test_a_read_of_an_unknown_pod_is_tried_again_when_its_pod_appears(play):
    """gone becomes exact, and the chain is lit."""

    async def story(play):
        read = play.read("app/reader", "get", "app/db", pod="late-1")
        await play.settle()
        assert [e.attribution for e in await play.evidence()] == ["gone"]
        play.put(play.world.pod("late-1"))
        play.moved(read.account)
        await play.settle()
        assert [e.attribution for e in await play.evidence()] == ["exact"]
        assert await play.lit() == [("late", "all")]

    run(play.run, story)


def test_nothing_flips_before_the_cluster_is_in_sync(play):
    """The chain is lit for who asks; the flip log waits, and then says it once."""

    play.settings["synced"] = False

    async def story(play):
        play.read("app/reader", "get", "app/db", pod="web-1")
        await play.settle(20)
        assert await play.lit() == [("web", "all")]
        assert play.lines == []
        assert not (await play.ref("engine").ask(EngineStatusQuery(), timeout_s=5)).ready
        play.settings["synced"] = True
        play.moved()
        await play.settle()
        assert play.events() == [("chain.corroborated", "app/*")]

    run(play.run, story)


def test_a_restart_says_only_what_changed_meanwhile(world, play):
    """A second run with what the first announced: what is lit still is not said, what ended meanwhile is."""

    async def first(play):
        play.read("app/reader", "get", "app/db", pod="web-1")
        await play.settle()

    async def second(play):
        await play.settle(20)
        assert play.lines == []
        assert len(play.announced) == 1

    async def third(play):
        world.observations.clear()
        await play.settle(20)
        assert play.events() == [("chain.expired", "app/*")]
        assert set() == play.announced

    run(play.run, first)
    for story in (second, third):
        again = Play(world, play.announced)
        again.records = play.records
        run(again.run, story)


def test_an_unexplained_read_is_told_after_five_seconds(play):
    """By the clock alone, once."""

    async def story(play):
        play.read("app/other", "get", "app/db")
        await play.settle(4.9)
        assert play.lines == []
        await play.settle(30)
        assert play.events() == [("read.unexplained", "app/db")]

    run(play.run, story)


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["store", "cluster", "announcer", "engine", "router", "app.reader", "app.other"])
def test_whoever_crashes_at_whatever_message_the_same_comes_out(play, name, nth):
    """The same chains lit, each told once, as if nothing had happened."""
    play.crash(name, nth)

    async def story(play):
        play.put(play.world.pod("x-1", "app/other"), play.world.role("x"), play.world.binding("x", "app/other"))
        await play.settle()
        play.read("app/reader", "get", "app/a", pod="web-1")
        await play.settle()
        play.read("app/other", "get", "app/b", pod="x-1")
        await play.settle()
        read = play.read("app/reader", "get", "app/c", pod="late-1")
        await play.settle()
        play.put(play.world.pod("late-1"))
        play.moved(read.account)
        await play.settle(40)
        assert await play.lit() == [("late", "all"), ("web", "all"), ("x", "x")]
        assert [e.attribution for e in await play.evidence()] == ["exact"] * 3
        lit = sorted(line["workload"] for line in play.lines if line["event"] == "chain.corroborated")
        assert lit == ["Deployment/app/late", "Deployment/app/web", "Deployment/app/x"]
        assert {"chain.corroborated"} == {line["event"] for line in play.lines}
        await play.settle(320)
        assert await play.lit() == []
        assert len([line for line in play.lines if line["event"] == "chain.expired"]) == 3
        assert set() == play.announced

    run(play.run, story)


def test_a_message_that_nobody_sends_is_a_bug(play):
    """Every actor fails loudly, and is started anew."""

    async def story(play):
        await play.settle()
        for name in ("announcer", "engine", "router"):
            play.ref(name).tell("nonsense")
        await play.settle(30)
        play.read("app/reader", "get", "app/db", pod="web-1")
        await play.settle()
        assert await play.lit() == [("web", "all")]
        assert len(play.system.dead_letters) >= 3

    run(play.run, story)
