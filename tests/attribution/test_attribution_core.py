"""Whose reads these are: the five strengths, and the signals that need only the observation and the pods (design 3)."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.attribution import PODS_SHOWN_MAX, Roster, attribute
from actors.attribution.core import attribute_again
from actors.evidence import Attribution, SeenSource, Signal


def names(evidence):
    return [workload.name for workload in evidence.workloads]


def test_a_claimed_uid_of_the_account_is_exact(a):
    """The pod and its workload, whatever else runs as the account."""
    pods = a.pods(a.pod("web-1"), a.pod("job-1", "job"))
    found = attribute(a.observation(claim=a.claim("web-1")), pods, a.now)
    assert (found.attribution, names(found), found.pods) == (Attribution.EXACT, ["web"], ("web-1",))


def test_with_a_uid_the_name_is_not_looked_at(a):
    """A real uid under another pod's name is that uid's pod; an unknown uid under a real name is nobody's."""
    pods = a.pods(a.pod("web-1"), a.pod("job-1", "job"))
    assert names(attribute(a.observation(claim=a.claim("job-1", "uid-web-1")), pods, a.now)) == ["web"]
    found = attribute(a.observation(claim=a.claim("web-1", "uid-unknown")), pods, a.now)
    assert (found.attribution, names(found), found.pods) == (Attribution.GONE, [], ())


def test_a_tombstone_is_exact_and_says_that_the_pod_was_gone(a):
    """The token of a deleted pod works for a moment longer: the read is exact, with gone_pod only if it came after the end."""
    pods = a.pods(a.pod("web-1", gone_at=a.now - 1), a.pod("old-1", "old", gone_at=a.now + 1))
    after = attribute(a.observation(claim=a.claim("web-1")), pods, a.now)
    before = attribute(a.observation(claim=a.claim("old-1")), pods, a.now)
    assert (after.attribution, after.signals) == (Attribution.EXACT, (Signal.GONE_POD,))
    assert (before.attribution, before.signals) == (Attribution.EXACT, ())


def test_a_finished_pod_is_still_the_maker_of_its_read(a):
    """A CronJob's pod that has finished."""
    found = attribute(a.observation(claim=a.claim("job-1")), a.pods(a.pod("job-1", "job", finished=True)), a.now)
    assert (found.attribution, names(found)) == (Attribution.EXACT, ["job"])


def test_a_name_without_a_uid_is_named(a):
    """The matching pod; an unknown name is nobody's."""
    pods = a.pods(a.pod("web-1"), a.pod("job-1", "job"))
    assert Attribution.NAMED is attribute(a.observation(claim=a.claim("web-1", None)), pods, a.now).attribution
    assert Attribution.GONE is attribute(a.observation(claim=a.claim("nobody", None)), pods, a.now).attribution


def test_a_name_means_the_pod_that_was_there_at_the_time(a):
    """A StatefulSet's pod comes again under its name: an earlier read is the earlier pod's."""
    pods = a.pods(
        a.pod("db-0", "old", uid="first", gone_at=a.now - 60),
        a.pod("db-0", "new", uid="second"),
    )
    assert names(attribute(a.observation(claim=a.claim("db-0", None)), pods, a.now)) == ["new"]
    both = attribute(a.observation(claim=a.claim("db-0", None), at=a.now - 100), pods, a.now)
    assert names(both) == ["new", "old"]


def test_without_a_claim_every_running_workload_is_shared(a):
    """Finished pods and those that were gone before do not count; one that went after the read does."""
    pods = a.pods(
        a.pod("web-1"),
        a.pod("job-1", "job", finished=True),
        a.pod("gone-1", "gone", gone_at=a.now - 5),
        a.pod("left-1", "left", gone_at=a.now + 5),
    )
    found = attribute(a.observation(), pods, a.now)
    assert (found.attribution, names(found)) == (Attribution.SHARED, ["left", "web"])


def test_at_most_twenty_pods_are_named_and_every_workload(a):
    """The list of pods is cut, the workloads are not."""
    pods = a.pods(*(a.pod(f"w{n:02}-1", f"w{n:02}") for n in range(30)))
    found = attribute(a.observation(), pods, a.now)
    assert (len(found.pods), len(found.workloads)) == (PODS_SHOWN_MAX, 30)


def test_no_pod_and_no_claim_is_podless_and_a_claim_is_gone(a):
    """An account without pods."""
    assert Attribution.PODLESS is attribute(a.observation(), a.pods(), a.now).attribution
    assert Attribution.GONE is attribute(a.observation(claim=a.claim()), a.pods(), a.now).attribution


def test_signals_of_one_read(a):
    """Each of the signals that need no more than this."""
    pods = a.pods(a.pod("web-1"))
    claim = a.claim()

    def signals(**more):
        return attribute(a.observation(**more), pods, a.now).signals

    assert signals(claim=claim, source_ip="10.1.0.1") == ()
    assert signals(claim=claim, source_ip="10.0.0.9") == ()
    assert signals(claim=claim) == ()
    assert signals(claim=claim, source_ip="198.51.100.7") == (Signal.FOREIGN_SOURCE_IP,)
    assert signals(claim=claim, source_ip="<script>") == (Signal.FOREIGN_SOURCE_IP,)
    assert signals(source_ip="198.51.100.7") == (Signal.UNBOUND_TOKEN,)
    assert signals(source_ip="198.51.100.7", via="aks") == (Signal.UNBOUND_TOKEN,)
    assert signals(source_ip="198.51.100.7", via="gke") == ()  # no entry of that log ever names a pod
    assert signals(claim=claim, ns="other") == (Signal.CROSS_NAMESPACE,)
    assert signals(claim=claim, verb="list", ns=None, name=None) == (Signal.CROSS_NAMESPACE, Signal.COLLECTION_READ)
    assert signals(claim=claim, verb="watch", name=None) == (Signal.COLLECTION_READ,)
    assert signals(claim=claim, borrowed=True) == (Signal.IMPERSONATED,)
    assert signals(claim=claim, first_read=True) == (Signal.FIRST_READ,)


def test_an_address_is_compared_as_an_address(a):
    """Other ways to write the pod's address are the pod's; while the pod has none, nothing is claimed."""
    pods = a.pods(a.pod("web-1", ips=("10.1.0.1", "fd00::1")), a.pod("new-1", "new", ips=()))

    def signals(claim, source_ip):
        return attribute(a.observation(claim=a.claim(claim), source_ip=source_ip), pods, a.now).signals

    assert signals("web-1", "fd00:0:0::1") == ()
    assert signals("web-1", "::ffff:10.1.0.1") == ()
    assert signals("new-1", "198.51.100.7") == ()


def test_an_account_whose_pods_get_no_token_has_no_unbound_token(a):
    """Without bound tokens a read without a claim is what one expects."""
    found = attribute(a.observation(), a.pods(a.pod("web-1", bound_token=False)), a.now)
    assert (found.attribution, found.signals) == (Attribution.SHARED, ())


def test_the_roster_knows_whether_time_matters(a):
    """Only while a pod is remembered does the same read a moment later have another answer."""
    assert Roster(a.pods(a.pod("web-1"))).steady
    assert not Roster(a.pods(a.pod("web-1", gone_at=a.now))).steady


claims = st.builds(
    lambda name, uid: (name, uid),
    st.sampled_from([None, "web-1", "job-1", "nobody"]),
    st.sampled_from([None, "uid-web-1", "uid-job-1", "uid-nobody"]),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    claim=claims,
    gone=st.lists(st.sampled_from([None, -10.0, 10.0]), min_size=2, max_size=2),
    present=st.lists(st.booleans(), min_size=2, max_size=2),
)
def test_nothing_is_widened_beyond_the_claim(a, claim, gone, present):
    """A claim is never attributed to more than the pod it names, and nothing is attributed to a pod that never was."""
    pods = [
        a.pod(name, name[:3], gone_at=None if at is None else a.now + at)
        for name, at, there in zip(("web-1", "job-1"), gone, present, strict=True)
        if there
    ]
    name, uid = claim
    found = attribute(a.observation(claim=a.claim(name, uid)), a.pods(*pods), a.now)
    assert set(found.pods) <= {pod.name for pod in pods}
    if uid is not None:
        assert set(found.pods) <= {uid.removeprefix("uid-")}
    elif name is not None:
        assert set(found.pods) <= {name}
    assert bool(found.workloads) == (found.attribution in (Attribution.EXACT, Attribution.NAMED, Attribution.SHARED))
    assert msgspec.json.encode(found)


def seen(a, *sources, **more):
    """An observation whose newest read is the pod's own, with these (address, age of the read in seconds)."""
    observation = a.observation(claim=a.claim("web-1"), source_ip="10.1.0.1", **more)
    kept = tuple(SeenSource(address, a.now - age + 300, a.now - age) for address, age in sources)
    return msgspec.structs.replace(observation, sources=kept)


def test_a_foreign_read_is_not_hidden_by_the_pods_own(a):
    """The signal stays as long as any live read came from elsewhere, and no longer."""
    roster = Roster(a.pods(a.pod("web-1")))
    observation = seen(a, ("10.1.0.1", 0), ("6.6.6.6", 100))
    found = [attribute(observation, roster, a.now + later).signals for later in (0, 199, 200)]
    assert found == [(Signal.FOREIGN_SOURCE_IP,), (Signal.FOREIGN_SOURCE_IP,), ()]


def test_each_source_is_judged_as_of_its_own_read(a):
    """By a name alone an earlier pod of that name was meant by the earlier read: its address is not foreign."""
    pods = a.pods(a.pod("web-1", uid="first", ips=("10.1.0.7",), gone_at=a.now - 60), a.pod("web-1", uid="second"))
    observation = seen(a, ("10.1.0.1", 0), ("10.1.0.7", 100))
    last = msgspec.structs.replace(observation.last, claim=a.claim("web-1", None))
    assert attribute(msgspec.structs.replace(observation, last=last), pods, a.now).signals == ()


def test_a_short_cut_never_misses_a_foreign_read_that_came_or_ended(a):
    """An observation attributed again says what it says when attributed anew."""
    roster = Roster(a.pods(a.pod("web-1")))
    own, both = seen(a, ("10.1.0.1", 0)), seen(a, ("10.1.0.1", 0), ("6.6.6.6", 100))
    for before, then, later in ((own, both, 0), (both, own, 0), (both, both, 250), (own, own, 250)):
        earlier = attribute(before, roster, a.now)
        expected = attribute(then, roster, a.now + later)
        assert expected == attribute_again(earlier, then, roster, a.now + later)
