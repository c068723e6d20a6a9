"""Which chains there are, and how exposed they are: what the cluster's records make, one change at a time."""

from __future__ import annotations

import msgspec
import pytest

from actors.cluster.records import KnownSecret, MountedSecret
from actors.engine.inspect import secret_view
from actors.engine.queries import SecretQuery
from actors.evidence import ObjectName


def exposures(world):
    return {(c.entry.exposure, c.entry.exposure_reason) for c in world.chains()}


def test_a_grant_of_names_is_a_chain_for_each_name(world):
    """resourceNames a and b: two objectives, two chains, with their verbs."""
    world.apply(world.pod("web-1"))
    world.grant("two", verbs="list,get", names=("b", "a"))
    assert sorted((c.objective.name, c.grant.verbs) for c in world.chains()) == [
        ("a", ["get", "list"]),
        ("b", ["get", "list"]),
    ]


def test_a_chain_is_of_a_workload_and_not_of_its_pods(world):
    """Pods come and go, the chain and its id stay; the entry names the live ones."""
    world.apply(world.pod("web-1"), world.pod("web-2"))
    world.grant("all")
    ids = [c.id for c in world.chains()]
    assert [c.entry.pods for c in world.chains()] == [["web-1", "web-2"]]
    world.apply(world.pod("web-1", gone_at=world.now), world.pod("web-3"))
    assert (ids, ["web-2", "web-3"]) == ([c.id for c in world.chains()], world.chains()[0].entry.pods)


def test_ids_are_the_same_in_every_run(make_world):
    """A hash of what the chain is, whatever the uids and the order of events."""
    one, two = make_world(), make_world()
    one.apply(one.pod("web-1"))
    one.grant("all")
    two.grant("all")
    two.apply(two.pod("web-9", uid="another"))
    assert [c.id for c in one.chains()] == [c.id for c in two.chains()]


@pytest.mark.parametrize("state", [{"finished": True}, {"gone_at": 1.0}, {"bound_token": False}])
def test_pods_that_cannot_read_are_no_entries(world, state):
    """Finished, gone, or without a token: no rbac-granted chain begins there."""
    world.apply(world.pod("web-1", **state))
    world.grant("all")
    assert world.chains() == []


def test_a_workload_without_a_token_that_read_is_listed_while_it_is_lit(world):
    """It has a token all the same: the chain that its read lit is there, and goes with the light."""
    world.apply(world.pod("web-1", bound_token=False))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    assert {("web", "all", "app/*")} == world.lit()
    world.wait(300)
    assert world.chains() == []


def test_a_group_grants_to_every_account_with_workloads(world):
    """system:authenticated is everybody; a later pod gets its chain, and no other is touched."""
    world.apply(*(world.pod(f"w{n}-1", f"app/sa{n}") for n in range(50)))
    world.grant("everyone", to="system:authenticated", ns=None)
    assert len(world.chains()) == 50
    before = world.engine.touched
    world.apply(world.pod("late-1", "app/late"))
    assert len(world.chains()) == 51
    assert world.engine.touched - before < 10


def test_a_binding_that_goes_takes_its_dark_chain_along(world):
    """Nothing lights it: it is simply not there any more."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.apply(world.binding("all", "app/reader", gone_at=world.now))
    assert world.chains() == []


def test_a_binding_that_is_forgotten_takes_its_chain_along(world):
    """As the cluster forgets it after its time."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.apply(forgotten=(ObjectName("RoleBinding", "app", "all"),))
    assert world.chains() == []


def test_a_role_that_changes_changes_the_chains(world):
    """The verbs of a chain are those of the role now; another scope is another chain."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.apply(world.role("all", "get,watch"))
    assert [c.grant.verbs for c in world.chains()] == [["get", "watch"]]
    world.apply(world.role("all", "get", names=("db",)))
    assert [c.objective.name for c in world.chains()] == ["db"]


def test_a_mounted_secret_is_a_chain_of_its_own(world):
    """Reach mounted, no account and no grant in between; one chain however many pods and ways; it goes with the last pod."""
    mounts = (MountedSecret("tls", "volume"), MountedSecret("tls", "env"), MountedSecret("pull", "image_pull"))
    pods = [msgspec.structs.replace(world.pod(name), mounts=mounts) for name in ("web-1", "web-2")]
    world.apply(*pods)
    assert [(c.reach, c.service_account, c.grant) for c in world.chains()] == [("mounted", None, None)] * 2
    assert {"tls", "pull"} == {c.objective.name for c in world.chains()}
    world.apply(*(msgspec.structs.replace(pod, gone_at=world.now) for pod in pods))
    assert world.chains() == []
    world.apply(forgotten=tuple(pod.uid for pod in pods))
    assert world.engine.graph.workloads == {}


def test_known_secrets_come_from_mounts_names_reads_and_files(world):
    """A wide chain lists what is known in its scope, and forgets what nothing names any more."""
    world.apply(world.pod("web-1", mounts=("mounted",)), KnownSecret("app", "filed"), KnownSecret("other", "elsewhere"))
    world.grant("wide")
    world.grant("named", names=("named",))
    world.read("app/reader", "get", "app/read", pod="web-1")

    def known():
        return [s.name for c in world.chains() if c.objective.name is None for s in c.secrets]

    assert known() == ["read", "filed", "mounted", "named"]
    world.wait(3900)
    world.apply(forgotten=(ObjectName("Secret", "app", "filed"),))
    assert known() == ["mounted", "named"]


# --- exposure ---


def test_a_workload_that_no_service_selects_is_internal(world):
    """And it says why."""
    world.apply(world.pod("web-1", labels=(("app", "web"),)), world.service("other"))
    world.grant("all")
    assert {("internal", "no Service selects it")} == exposures(world)


@pytest.mark.parametrize(
    ("type_", "more", "expected"),
    [
        ("ClusterIP", {}, ("cluster", "Service app/web selects it")),
        ("LoadBalancer", {}, ("internet", "Service app/web is of type LoadBalancer")),
        (
            "LoadBalancer",
            {"addresses": ("lb.test",)},
            ("internet", "Service app/web is of type LoadBalancer at lb.test"),
        ),
        ("NodePort", {}, ("internet", "Service app/web is of type NodePort")),
        ("ClusterIP", {"external_ips": ("203.0.113.7",)}, ("internet", "Service app/web has external IPs 203.0.113.7")),
        (
            "ClusterIP",
            {"exposure": "internet"},
            ("internet", "Service app/web is annotated as exposed to the internet"),
        ),
        ("LoadBalancer", {"selector": ()}, ("internal", "no Service selects it")),
        ("LoadBalancer", {"selector": (("app", "web"), ("x", "y"))}, ("internal", "no Service selects it")),
        ("LoadBalancer", {"namespace": "other"}, ("internal", "no Service selects it")),
    ],
)
def test_services_expose_what_they_select(world, type_, more, expected):
    """By type, external IPs and annotation; every pair of the selector must match, in the same namespace."""
    world.apply(world.pod("web-1", labels=(("app", "web"), ("tier", "front"))), world.service("web", type_, **more))
    world.grant("all")
    assert {expected} == exposures(world)


def test_a_route_with_an_address_exposes_its_backend(world):
    """An Ingress leads to the Service; without an address it leads nowhere yet; when it goes, so does the exposure."""
    world.apply(world.pod("web-1", labels=(("app", "web"),)), world.service("web"))
    world.grant("all")
    world.apply(world.route("front", "web", addresses=(), through="class nginx"))
    waiting = "Service app/web selects it; Ingress/app/front (class nginx) leads there, but has no address"
    assert {("cluster", waiting)} == exposures(world)
    world.apply(world.route("front", "web"))
    assert {("internet", "Ingress/app/front leads to Service app/web from 203.0.113.7")} == exposures(world)
    addresses = tuple(f"203.0.113.{n}" for n in range(5))
    world.apply(world.route("front", "web", addresses=addresses, through="class nginx"))
    said = (
        "Ingress/app/front (class nginx) leads to Service app/web from 203.0.113.0, 203.0.113.1, 203.0.113.2 and 2 more"
    )
    assert {("internet", said)} == exposures(world)
    world.apply(world.route("front", "elsewhere"))
    assert {"cluster"} == {level for level, _ in exposures(world)}
    world.apply(world.route("front", "web"))
    world.apply(forgotten=(ObjectName("Ingress", "app", "front"),))
    assert {"cluster"} == {level for level, _ in exposures(world)}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"host_ports": (80, 443)}, ("internet", "its pods listen on port 80, 443 of their nodes (hostPort)")),
        (
            {"host_network": True, "host_ports": (9100,)},
            ("internet", "its pods listen on port 9100 of their nodes (hostNetwork)"),
        ),
        (
            {"host_network": True},
            ("cluster", "its pods share the network of their nodes (hostNetwork) and declare no port"),
        ),
    ],
)
def test_ports_of_nodes_expose(world, pod, expected):
    """Whoever reaches a node reaches them, as with a NodePort; a node's network without a declared port is the cluster's."""
    world.apply(world.pod("web-1", **pod))
    world.grant("all")
    assert {expected} == exposures(world)
    world.apply(world.pod("web-1"))
    assert {("internal", "no Service selects it")} == exposures(world)


# --- pods without a token ---


def test_a_workload_without_a_token_is_no_entry_but_is_shown(world):
    """It cannot use the grants of its account by itself; among the readers of the Secret it stands as such. A finished pod does not."""
    world.apply(
        world.pod("web-1"),
        world.pod("mute-1", bound_token=False),
        world.pod("done-1", finished=True, bound_token=False),
        world.pod("over-1", finished=True),
    )
    world.grant("all")
    assert {(c.entry.name, c.entry.usable_token) for c in world.chains()} == {("web", True)}
    (reader,) = secret_view(world.engine, world.listing, SecretQuery("app", "db"), world.now).readers
    assert [each.name for each in reader.workloads] == ["web"]
    assert [each.name for each in reader.without_token] == ["mute"]


def test_a_lit_chain_says_that_its_token_went(world):
    """A pod that is replaced by one without a token leaves its chain lit, and the chain says that nobody could repeat it."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    before = world.engine.revision
    world.apply(world.pod("web-1", bound_token=False))
    assert [(c.corroborated, c.entry.usable_token) for c in world.chains()] == [(True, False)]
    assert world.engine.revision > before


def test_a_mount_needs_no_token(world):
    """A mounted chain asks no account."""
    world.apply(world.pod("web-1", mounts=("tls",), bound_token=False))
    assert [(c.reach, c.entry.usable_token) for c in world.chains()] == [("mounted", None)]


def test_an_annotated_pod_is_exposed(world):
    """protector.dev/exposure: internet on the pod; other values say nothing."""
    world.apply(world.pod("web-1", exposure="internet"), world.pod("job-1", exposure="lunar"))
    world.grant("all")
    assert {c.entry.name: c.breach_relevant for c in world.chains()} == {"web": True, "job": False}


def test_exposure_follows_every_change(world):
    """Service first or pod first, changed or gone: only what is now counts, and the order of the chains follows."""
    world.grant("all", to="system:authenticated", ns=None)
    world.apply(world.service("b", "LoadBalancer"))
    world.apply(world.pod("a-1", labels=(("app", "a"),)), world.pod("b-1", labels=(("app", "b"),)))
    assert [c.entry.name for c in world.chains()] == ["b", "a"]
    world.apply(world.service("a", "NodePort"), world.service("b", "ClusterIP"))
    assert [c.entry.name for c in world.chains()] == ["a", "b"]
    world.apply(world.service("a", "NodePort", gone_at=world.now), forgotten=(ObjectName("Service", "app", "b"),))
    assert {"internal"} == {level for level, _ in exposures(world)}


# --- what a change costs ---


def test_touched_objects_do_not_depend_on_the_size_of_the_cluster(make_world):
    """The same pod, binding, Service and read in a small cluster and in one a hundred times as large."""
    costs = []
    for size in (10, 1000):
        world = make_world()
        world.apply(*(world.pod(f"w{n}-1", f"ns{n}/sa", labels=(("app", f"w{n}"),)) for n in range(size)))
        for n in range(size):
            world.grant(f"g{n}", to=f"ns{n}/sa", ns=f"ns{n}")
        before = world.engine.touched
        world.apply(world.pod("new-1", "ns1/sa", labels=(("app", "new"),)))
        world.grant("more", to="ns2/sa", ns="ns2")
        world.apply(world.service("w3", "LoadBalancer", namespace="ns3"))
        world.read("ns4/sa", "get", "ns4/db", pod="w4-1")
        world.read("ns4/sa", "get", "ns4/db", pod="w4-1")
        world.wait(300)
        costs.append(world.engine.touched - before)
    assert costs[0] == costs[1]
