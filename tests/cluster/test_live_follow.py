"""One kind, listed and watched over real HTTP: pages, bookmarks, 410 in every form, outages, slow streams, refusals."""

from __future__ import annotations

import pytest
import trio
from kube_objects import pod, role
from live_kit import Following, follow

from actors.cluster.live import follow as follow_module
from actors.cluster.queries import SourceState
from actors.cluster.records import Role
from actors.testing.kube import FakeKube


def with_pods(number: int, **options: int) -> FakeKube:
    """A server that holds so many pods."""
    kube = FakeKube(**options)
    kube.put(*(pod(f"p{i:03}") for i in range(number)))
    return kube


def uids(*numbers: int) -> set[str]:
    """Of `with_pods`'s pods."""
    return {f"uid-p{i:03}" for i in numbers}


def test_a_list_in_pages_and_then_changes() -> None:
    """Seven pods in pages of three; then one comes, one changes, one goes, over one watch."""
    kube = with_pods(7, page_items_max=3)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        assert f.heard.names() == uids(*range(7))
        f.kube.put(pod("p100"), pod("p000", labels={"a": "b"}))
        f.kube.delete(pod("p001"))
        await f.heard.until(lambda: f.heard.names() == uids(0, *range(2, 7), 100))
        assert f.heard.there["uid-p000"].pod.labels == (("a", "b"),)

    following = follow("Pod", story, kube)
    assert (following.counts.lists, following.counts.pages, following.counts.watches) == (1, 3, 1)
    assert [request.query.get("limit") for request in kube.requests[:3]] == ["500"] * 3
    assert kube.requests[3].query["allowWatchBookmarks"] == "true"


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    """What happened between two watches is told by the second; nothing is listed again."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.end_watches()
        f.kube.put(pod("p001"))
        await f.heard.until(lambda: f.heard.names() == uids(0, 1))
        f.kube.cut_watches()
        await f.kube.until(lambda: f.kube.watching("pods") == 0)
        f.kube.put(pod("p002"))
        await f.heard.until(lambda: f.heard.names() == uids(0, 1, 2))
        f.kube.cut_watches(half_line=True)
        f.kube.put(pod("p003"))
        await f.heard.until(lambda: f.heard.names() == uids(0, 1, 2, 3))

    assert follow("Pod", story, kube).counts.lists == 1


def test_bookmarks_move_the_version_on() -> None:
    """After a bookmark the old versions may go: the next watch begins at the bookmark's."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.put(role("elsewhere", []))  # another kind moves the cluster's version
        f.kube.bookmark()
        states = len(f.heard.states)
        await f.heard.until(lambda: len(f.heard.states) > states)
        f.kube.end_watches()
        await f.kube.until(lambda: len([r for r in f.kube.requests if r.is_watch]) == 2)
        assert f.kube.requests[-1].query["resourceVersion"] == str(f.kube.version)

    following = follow("Pod", story, kube)
    assert (following.counts.bookmarks, following.counts.lists) == (1, 1)


@pytest.mark.parametrize("how", ["answer", "event"])
def test_gone_means_list_again(how: str) -> None:
    """410 as the answer to a watch and as an ERROR event in it: a new list, and what it no longer holds has gone."""
    kube = with_pods(3)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        if how == "answer":
            f.kube.cut_watches()
            await f.kube.until(lambda: f.kube.watching("pods") == 0)
        f.kube.delete(pod("p001"))
        f.kube.put(pod("p009"))
        f.kube.compact()
        if how == "event":
            f.kube.expire_watches()
        await f.heard.until(lambda: f.heard.lists == 2)
        assert f.heard.names() == uids(0, 2, 9)

    following = follow("Pod", story, kube)
    assert following.counts.gone == 1


def test_a_page_that_is_too_old_begins_the_list_again() -> None:
    """410 in the middle of a list: what was told of it is not taken for all."""
    kube = with_pods(6, page_items_max=2)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: len(f.kube.requests) == 1)
        f.kube.compact()
        await f.heard.until(lambda: f.heard.lists == 1)
        assert f.heard.names() == uids(*range(6))

    assert follow("Pod", story, kube).counts.gone == 1


def test_an_error_event_of_another_kind_is_an_outage() -> None:
    """Code 500 in a stream: the watch is resumed, nothing is listed again."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.break_watches(500, "InternalError", "etcd is away")
        await f.heard.until(lambda: f.heard.states[-1][0] is SourceState.FAILING)
        f.kube.put(pod("p001"))
        await f.heard.until(lambda: f.heard.names() == uids(0, 1))

    following = follow("Pod", story, kube)
    assert (following.counts.lists, following.counts.failures) == (1, 1)


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_an_outage_is_waited_out(status: int) -> None:
    """Errors before the list and before the watch are tried again, with pauses that grow."""
    kube = with_pods(2)
    kube.fail(status, times=4, retry_after="2")

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)

    following = follow("Pod", story, kube)
    assert (following.heard.names(), following.counts.failures) == (uids(0, 1), 4)
    assert SourceState.FAILING in {state for state, _ in following.heard.states}


def test_the_server_goes_away_and_comes_back() -> None:
    """A restart of the API server: what changed meanwhile is told, without a new list."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.down()
        await f.heard.until(lambda: f.heard.states[-1][0] is SourceState.FAILING)
        f.kube.put(pod("p001"))
        async with trio.open_nursery() as nursery:
            await nursery.start(f.kube.serve)
            await f.heard.until(lambda: f.heard.names() == uids(0, 1))
            nursery.cancel_scope.cancel()

    assert follow("Pod", story, kube).counts.lists == 1


@pytest.mark.parametrize("how", ["gone", "forbidden"])
def test_after_a_long_outage_the_first_answer_is_followed_up_at_once(how: str) -> None:
    """An API server that was away for minutes answers 410, or refuses everybody for a moment: no pause has grown meanwhile."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.down()
        await trio.sleep(300)
        if how == "gone":
            f.kube.compact()
        else:
            f.kube.forbidden.add(("watch", "pods"))
        f.kube.put(pod("p001"))
        async with trio.open_nursery() as nursery:
            await nursery.start(f.kube.serve)
            began, asked = trio.current_time(), len(f.kube.requests)
            await f.kube.until(lambda: len(f.kube.requests) > asked)
            assert trio.current_time() - began < 6.0
            answered = trio.current_time()
            f.kube.forbidden.clear()
            await f.heard.until(lambda: f.heard.names() == uids(0, 1))
            assert trio.current_time() - answered < 1.5
            nursery.cancel_scope.cancel()

    follow("Pod", story, kube)


def test_a_list_is_asked_for_every_few_seconds_while_nobody_answers() -> None:
    """protector and its API server are started at once, as at a node's start: it is not blind for long after that."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        f.kube.down()
        await trio.sleep(300)
        async with trio.open_nursery() as nursery:
            await nursery.start(f.kube.serve)
            began = trio.current_time()
            await f.heard.until(lambda: f.heard.names() == uids(0))
            assert trio.current_time() - began < 8.0
            nursery.cancel_scope.cancel()

    follow("Pod", story, kube)


def test_a_slow_stream_is_no_fault() -> None:
    """Three bytes at a time, heads, lists and watch lines alike."""
    kube = with_pods(2)
    kube.slow_bytes = 3

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.put(pod("p002"))
        await f.heard.until(lambda: f.heard.names() == uids(0, 1, 2))

    assert follow("Pod", story, kube).counts.failures == 0


def test_a_silent_watch_is_taken_for_dead() -> None:
    """No word, not even a bookmark, for WATCH_IDLE_S: the watch is begun again from where it was."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: sum(request.is_watch for request in f.kube.requests) >= 2)

    following = follow("Pod", story, kube)
    assert (following.counts.lists, following.counts.failures) == (1, 1)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_missing_permission_is_one_line_that_names_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Verb and resource are named once; it is asked for again once in a while, and taken up when it is there."""
    kube = with_pods(1)
    kube.forbidden.add((verb, "pods"))

    async def story(f: Following) -> None:
        await f.kube.until(lambda: len(f.kube.requests) >= 6)
        missing = (SourceState.FORBIDDEN, f"missing permission: {verb} pods in every namespace")
        await f.heard.until(lambda: f.heard.states[-1] == missing)
        f.kube.forbidden.clear()
        await f.kube.until(lambda: f.kube.watching("pods") == 1)

    following = follow("Pod", story, kube)
    said = capsys.readouterr()
    assert (said.out + said.err).count(f"missing permission: {verb} pods") == 1
    assert following.heard.names() == uids(0)


def test_an_api_server_that_has_just_started_is_asked_again_soon() -> None:
    """It refuses everybody until it has read its own roles: a watch goes on where it was, within seconds and without a list."""
    kube = with_pods(1)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        began = trio.current_time()
        f.kube.forbidden.add(("watch", "pods"))
        f.kube.cut_watches()
        await f.heard.until(lambda: f.heard.states[-1][0] is SourceState.FORBIDDEN)
        f.kube.forbidden.clear()
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        assert trio.current_time() - began < 10.0

    following = follow("Pod", story, kube)
    assert following.counts.lists == 1


def test_a_kind_that_is_not_there_is_no_fault() -> None:
    """A cluster without the Gateway API; its installation is noticed."""
    kube = FakeKube()
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"namespace": "app", "name": "g"},
        "status": {"addresses": [{"value": "203.0.113.1"}]},
    }

    async def story(f: Following) -> None:
        await f.heard.until(lambda: bool(f.heard.states) and f.heard.states[-1][0] is SourceState.ABSENT)
        assert f.heard.lists == 1
        f.kube.absent.clear()
        f.kube.put(gateway)
        await f.heard.until(lambda: len(f.heard.there) == 1)

    assert follow("Gateway", story, kube).counts.failures == 0


def test_garbage_is_listed_again_and_costs_only_itself() -> None:
    """An object that cannot be is counted and left out."""
    kube = with_pods(1)
    bad = pod("bad")
    bad["spec"]["serviceAccountName"] = 7
    kube.put(bad)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)
        f.kube.put(bad, pod("p001"))
        await f.heard.until(lambda: f.heard.names() == uids(0, 1))

    assert follow("Pod", story, kube).counts.malformed == 2


def test_a_page_that_is_too_long_is_asked_for_in_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halved until it fits."""
    monkeypatch.setattr(follow_module, "PAGE_BYTES_MAX", 3000)
    kube = with_pods(40)

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("pods") == 1)

    following = follow("Pod", story, kube)
    assert following.heard.names() == uids(*range(40))
    assert int(kube.requests[-2].query["limit"]) < 40


def test_owners_are_asked_for_as_metadata_alone() -> None:
    """No template of a ReplicaSet crosses the wire; who owns it does."""
    kube = FakeKube()
    owner = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}]
    meta = {"namespace": "app", "name": "web-1", "uid": "rs", "ownerReferences": owner}
    kube.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": {"template": {"x": "y"}}})

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("replicasets") == 1)

    following = follow("ReplicaSet", story, kube)
    assert following.heard.there["rs"].owner.name == "web"
    assert all("as=PartialObjectMetadata" in request.accept for request in kube.requests)


def test_removed_and_made_again_in_one_breath() -> None:
    """A role that goes and comes under the same name within one piece of the stream is there in the end."""
    kube = FakeKube()
    kube.put(role("r", []))

    async def story(f: Following) -> None:
        await f.kube.until(lambda: f.kube.watching("roles") == 1)
        f.kube.delete(role("r", []))
        again = role("r", [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}])
        again["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z"
        f.kube.put(again)
        await f.heard.until(lambda: any(isinstance(each, Role) and each.rules for each in f.heard.there.values()))
        assert [each.valid_from for each in f.heard.there.values()] == [1767323045.0]

    follow("Role", story, kube)
