"""Kubernetes objects become records, or are skipped with a reason."""

from __future__ import annotations

import json

import pytest
from kube_objects import binding, controlled_by, decoded, kube, pod, role, rule

from actors.cluster.decode import decode_builtins, decode_json
from actors.cluster.raw import Gateway, Owner, RawPod, RawRoute, Skipped
from actors.cluster.records import (
    Binding,
    KnownSecret,
    LabelRequirement,
    OwnerName,
    Role,
    Route,
    Rule,
    Service,
    ServiceAccount,
    Subject,
)
from actors.evidence import Account, ObjectName, Workload


def raw_pod(**fields: object) -> RawPod:
    found = decoded(pod(**fields))
    assert isinstance(found, RawPod)
    return found


def test_a_pod_keeps_what_is_needed() -> None:
    """Account, labels, node, addresses, host network, phase and exposure come out of a pod."""
    found = decoded(
        pod(
            "web-1",
            uid="u1",
            labels={"b": "2", "a": "1"},
            annotations={"protector.dev/exposure": "internet", "other": "x"},
            owner=controlled_by("ReplicaSet", "web", "r1"),
            serviceAccountName="sa",
            nodeName="n1",
            hostNetwork=True,
            status={
                "phase": "Failed",
                "podIP": "10.0.0.1",
                "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "hostIP": "10.9.0.1",
                "hostIPs": [{"ip": "10.9.0.1"}],
            },
        )
    )
    assert isinstance(found, RawPod)
    got = found.pod
    assert ("u1", Account("app", "sa"), "web-1", Workload("Pod", "app", "web-1")) == (
        got.uid,
        got.account,
        got.name,
        got.workload,
    )
    assert (
        got.labels,
        got.node,
        got.host_network,
        got.finished,
        got.exposure,
    ) == ((("a", "1"), ("b", "2")), "n1", True, True, "internet")
    assert (got.ips, got.host_ips) == (("10.0.0.1", "fd00::1"), ("10.9.0.1",))
    assert OwnerName("ReplicaSet", "web", "r1") == found.owner


@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_a_port_of_the_node_is_seen(where: str) -> None:
    """Of any container; a port that is the pod's alone is none."""
    ports = [{"containerPort": 80}, {"containerPort": 443, "hostPort": 8443}]
    assert decoded(pod(**{where: [{"name": "c", "ports": ports}]})).pod.host_ports == (8443,)
    assert not decoded(pod(**{where: [{"name": "c", "ports": ports[:1]}]})).pod.host_ports


def test_a_pod_without_account_runs_as_default() -> None:
    """G14: no serviceAccountName means the account default of the pod's namespace."""
    assert Account("app", "default") == raw_pod().pod.account


@pytest.mark.parametrize(
    ("annotation", "exposure"),
    [("internet", "internet"), ("cluster", "cluster"), ("internal", "internal"), ("CANARY", None), ("", None)],
)
def test_only_known_exposures_are_kept(annotation: str, exposure: str | None) -> None:
    """The one annotation that survives does so only with a value that means something."""
    assert exposure == raw_pod(annotations={"protector.dev/exposure": annotation}).pod.exposure


TOKEN = {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]}


@pytest.mark.parametrize(
    ("spec", "bound"),
    [
        ({}, True),
        ({"automountServiceAccountToken": True}, True),
        ({"automountServiceAccountToken": False}, False),
        ({"automountServiceAccountToken": False, **TOKEN}, True),
    ],
    ids=["unset", "on", "off", "off, but projected"],
)
def test_bound_token_as_the_pod_says(spec: dict, bound: bool) -> None:
    """G15: a projected token source outweighs automountServiceAccountToken."""
    assert bound == raw_pod(**spec).pod.bound_token


def test_a_pod_without_uid_gets_its_name_as_one() -> None:
    """A manifest written by hand can be read, too."""
    found = decoded(kube("v1", "Pod", "bare"))
    assert isinstance(found, RawPod)
    assert found.pod.uid == "app/bare"


def test_an_owner_counts_only_as_controller() -> None:
    """ownerReferences that do not control the pod fold nothing."""
    assert raw_pod(owner=[{"kind": "ReplicaSet", "name": "x", "uid": "u"}]).owner is None


def test_roles() -> None:
    """Rules, labels and the selectors of an aggregationRule come out; null rules of an aggregate stay None."""
    plain = decoded(role("r", [rule("get", names=["a"])], meta={"labels": {"k": "v"}}))
    assert plain == Role(ObjectName("Role", "app", "r"), (Rule(("get",), ("",), ("secrets",), ("a",)),), (("k", "v"),))
    selectors = [{"matchLabels": {"x": "1"}, "matchExpressions": [{"key": "y", "operator": "Exists"}]}, {}]
    aggregate = decoded(role("agg", None, None, aggregationRule={"clusterRoleSelectors": selectors}))
    requirements = (LabelRequirement("x", "In", ("1",)), LabelRequirement("y", "Exists"))
    assert aggregate == Role(ObjectName("ClusterRole", None, "agg"), None, (), (requirements, ()))
    assert decoded(role("empty", None)) == Role(ObjectName("Role", "app", "empty"), ())


def test_an_aggregate_with_empty_rules_is_unfilled() -> None:
    """Manifests write `rules: []` beside an aggregationRule as often as null."""
    found = decoded(role("agg", [], None, aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"x": "1"}}]}))
    assert isinstance(found, Role)
    assert found.rules is None


def test_bindings() -> None:
    """Subjects and roleRef are taken as written; null subjects are none."""
    found = decoded(
        binding("b", "r", [{"kind": "ServiceAccount", "name": "a"}, {"kind": "Group", "name": "g", "namespace": ""}])
    )
    assert found == Binding(
        ObjectName("RoleBinding", "app", "b"), "Role", "r", (Subject("ServiceAccount", "a"), Subject("Group", "g"))
    )
    wide = decoded(binding("c", "r", None, None))  # type: ignore[arg-type] # as the API server writes it
    assert wide == Binding(ObjectName("ClusterRoleBinding", None, "c"), "ClusterRole", "r")


@pytest.mark.parametrize(
    "name", ['odd "name"', "tab\tname", "back\\slash", "ünï-cödé", "system:like:this", "CamelCase", "x" * 300]
)
def test_rbac_names_are_any_path_segment(name: str) -> None:
    """Roles and bindings may have names that nothing else may have."""
    found = decoded(role(name, [], None))
    assert isinstance(found, Role)
    assert name == found.name.name


def test_services_and_ingresses() -> None:
    """Type, selector, addresses and backends are what decides about exposure."""
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "lb.example.test"}]}}
    service = kube(
        "v1",
        "Service",
        "s",
        spec={"type": "LoadBalancer", "selector": {"app": "web"}, "externalIPs": ["198.51.100.1"]},
        status=status,
    )
    addresses = ("203.0.113.7", "lb.example.test")
    assert decoded(service) == Service("app", "s", "LoadBalancer", (("app", "web"),), ("198.51.100.1",), addresses)
    paths = [
        {"backend": {"service": {"name": "b"}}},
        {"backend": {"resource": {"kind": "Bucket", "name": "no"}}},
        {"backend": {"service": {"name": "a"}}},
    ]
    spec = {"defaultBackend": {"service": {"name": "a"}}, "rules": [{"http": {"paths": paths}}, {"host": "x"}]}
    assert decoded(kube("networking.k8s.io/v1", "Ingress", "i", spec=spec, status=status)) == Route(
        "Ingress", "app", "i", (("app", "a"), ("app", "b")), addresses
    )


def test_gateway_routes() -> None:
    """backendRefs of the core group that are Services, and parentRefs that are Gateways, across namespaces."""
    refs = [
        {"name": "a"},
        {"name": "b", "namespace": "other", "kind": "Service", "group": ""},
        {"name": "c", "kind": "Bucket"},
    ]
    parents = [{"name": "gw", "namespace": "infra"}, {"name": "s", "kind": "Service", "group": ""}]
    found = decoded(
        kube(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            "r",
            spec={"parentRefs": parents, "rules": [{"backendRefs": refs}]},
        )
    )
    assert found == RawRoute(Route("HTTPRoute", "app", "r", (("app", "a"), ("other", "b"))), (("infra", "gw"),))
    gateway = kube(
        "gateway.networking.k8s.io/v1beta1",
        "Gateway",
        "gw",
        "infra",
        status={"addresses": [{"type": "IPAddress", "value": "203.0.113.9"}]},
    )
    assert decoded(gateway) == Gateway("infra", "gw", ("203.0.113.9",))


@pytest.mark.parametrize(
    ("spec", "ports"),
    [
        ({"ports": [{"containerPort": 80}]}, ()),
        ({"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 81}]}, (81, 8080)),
        ({"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}]}, ()),
        ({"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "0.0.0.0"}]}, (80,)),
        ({"ports": [{"containerPort": 80, "hostPort": 99_999}]}, ()),
        ({"ports": [{"containerPort": port, "hostPort": port} for port in range(1, 40)]}, tuple(range(1, 17))),
        ({"ports": None}, ()),
    ],
)
def test_ports_of_the_node(spec: dict, ports: tuple[int, ...]) -> None:
    """hostPort, but for those that only the node itself reaches; at most 16 of them."""
    assert raw_pod(containers=[spec]).pod.host_ports == ports


def test_with_the_nodes_network_every_declared_port_is_the_nodes() -> None:
    """The API server fills hostPort in; a manifest leaves it out."""
    found = raw_pod(containers=[{"ports": [{"containerPort": 9100}]}], hostNetwork=True).pod
    assert (found.host_network, found.host_ports) == (True, (9100,))


@pytest.mark.parametrize(
    ("spec", "annotations", "through"),
    [
        ({"ingressClassName": "nginx"}, {}, "class nginx"),
        ({}, {"kubernetes.io/ingress.class": "traefik"}, "class traefik"),
        ({"ingressClassName": "nginx"}, {"kubernetes.io/ingress.class": "traefik"}, "class nginx"),
        ({}, {"kubernetes.io/ingress.class": "CANARY value"}, ""),
        ({}, {}, ""),
    ],
)
def test_the_class_of_an_ingress(spec: dict, annotations: dict, through: str) -> None:
    """The field, else the annotation from before there was one; only what can be the name of a class is kept."""
    found = decoded(kube("networking.k8s.io/v1", "Ingress", "i", meta={"annotations": annotations}, spec=spec))
    assert isinstance(found, Route)
    assert found.through == through


@pytest.mark.parametrize(
    ("said", "gateways"),
    [
        ([], (("app", "gw"),)),
        ([("gw", "True")], (("app", "gw"),)),
        ([("gw", "False")], ()),
        ([("gw", "False"), ("gw", "True")], (("app", "gw"),)),  # one listener of it takes the route, another does not
        ([("other", "False")], (("app", "gw"),)),
    ],
)
def test_a_gateway_that_refuses_a_route_does_not_serve_it(said: list, gateways: tuple) -> None:
    """status.parents of the route: Accepted False for all of the gateway's listeners."""
    parents = [{"parentRef": {"name": n}, "conditions": [{"type": "Accepted", "status": s}]} for n, s in said]
    found = decoded(
        kube(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            "r",
            spec={"parentRefs": [{"name": "gw"}]},
            status={"parents": parents},
        )
    )
    assert isinstance(found, RawRoute)
    assert found.gateways == gateways


def test_accounts_secrets_and_owners() -> None:
    """Of a Secret only name and type; of an owner its name and its own controller."""
    account = kube(
        "v1",
        "ServiceAccount",
        "sa",
        automountServiceAccountToken=False,
        imagePullSecrets=[{"name": "pull"}, {"name": ""}],
    )
    assert decoded(account) == ServiceAccount(Account("app", "sa"), False, ("pull",))
    assert decoded(kube("v1", "Secret", "s", type="x/y", data={"a": "QQ=="})) == KnownSecret("app", "s", "x/y")
    owner = kube(
        "apps/v1", "ReplicaSet", "rs", meta={"uid": "u", "ownerReferences": controlled_by("Deployment", "d", "du")}
    )
    assert decoded(owner) == Owner("ReplicaSet", "app", "rs", "u", OwnerName("Deployment", "d", "du"))
    assert decoded(kube("v1", "Namespace", "app", None)) == Owner("Namespace", None, "app")


@pytest.mark.parametrize(
    "value",
    [
        kube("v1", "Pod", "UPPER"),
        kube("v1", "Pod", "n" * 254),
        kube("v1", "Pod", ""),
        kube("v1", "Pod", "ok", "name.space"),
        kube("v1", "Pod", "ok", spec={"serviceAccountName": "no/such"}),
        kube("v1", "Pod", "ok", spec=7),
        kube("v1", "Pod", 7),  # type: ignore[arg-type] # meant
        kube("v1", "Pod", "ok", meta={"labels": {"a": 1}}),
        kube("v1", "Pod", "ok", meta={"uid": "u" * 129}),
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "v1", "kind": "Pod", "metadata": None},
        role("a/b", []),
        role("..", []),
        role("a%b", []),
        role("ok", [{"verbs": "get"}]),  # type: ignore[list-item] # meant
        {"apiVersion": 7, "kind": "Pod"},
        ["no object"],
        "text",
        7,
        None,
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_cannot_be_is_malformed(value: object) -> None:
    """Wrong types and impossible names give a reason, alike from JSON and from YAML's objects, and never an exception."""
    from_json, from_builtins = decode_json(json.dumps(value).encode()), decode_builtins(value)
    assert (getattr(from_json, "reason", None), getattr(from_builtins, "reason", None)) == ("malformed", "malformed")


@pytest.mark.parametrize(
    "value",
    [
        kube("serving.knative.dev/v1", "Service", "s", spec=[1]),
        kube("config.openshift.io/v1", "Ingress", "cluster", None),
        kube("v1", "Cheese", "c"),
        kube("extensions/v1beta1", "Ingress", "i"),
        {},
    ],
)
def test_other_groups_kinds_are_unknown(value: dict) -> None:
    """A kind is known by its API group too, whatever is in the object."""
    found = decode_json(json.dumps(value).encode())
    assert isinstance(found, Skipped)
    assert found.reason == "unknown"


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"kind":"Pod","metadata":{"name":"\xff"}}', b'{"kind":"\\ud800"}', b"[" * 100_000]
)
def test_bytes_that_are_no_object_are_malformed(data: bytes) -> None:
    """Neither broken text nor nesting raises."""
    assert getattr(decode_json(data), "reason", None) == "malformed"
