"""How far from outside a workload can be reached, and why: Services, routes, its node's ports and annotations. Pure.

Everything is found through indexes, so that a change of one Service or pod looks at what it concerns and at nothing else.
A Service without a selector reaches no pods by itself. Source of the rules: design 3, Exposure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from actors.cluster.records import Pod, Route, Service
from actors.evidence import ObjectName, Workload

INTERNET: Final = "internet"
CLUSTER: Final = "cluster"
INTERNAL: Final = "internal"
RANKS: Final = {INTERNET: 0, CLUSTER: 1, INTERNAL: 2}
"""The order of exposures, worst first."""
LEVELS: Final = tuple(RANKS)
"""The exposures by rank."""
OUTSIDE_TYPES: Final = ("LoadBalancer", "NodePort")
"""Types of Services that the outside reaches by themselves."""


class Exposure(Struct, frozen=True, gc=False):
    """How a workload is exposed, and what makes it so."""

    level: str
    reason: str

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return RANKS[self.level]


UNEXPOSED: Final = Exposure(INTERNAL, "no Service selects it")

_Label = tuple[str, str, str]
"""(namespace, key, value)."""
_ServiceName = tuple[str, str]
NODE_NETWORK: Final = -1
"""Stands in a shape for hostNetwork; the ports follow."""
ADDRESSES_SHOWN: Final = 3
"""So many addresses a reason names."""


class PodShape(NamedTuple):
    """What of a pod decides about exposure. The pods of a workload mostly share one."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    annotated: str | None
    node_ports: tuple[int, ...] = ()
    """Ports of its node that it listens on, NODE_NETWORK before them where it has the whole network of its node."""


class Exposures:
    """Services, routes and the labels of pods; tells which workloads a change concerns, and how a workload is exposed."""

    def __init__(self) -> None:
        self._services: dict[_ServiceName, Service] = {}
        self._by_label: dict[_Label, set[_ServiceName]] = {}
        """Services by the first pair of their selector: a pod that lacks it cannot be selected."""
        self._pods_by_label: dict[_Label, dict[str, Pod]] = {}
        self._routes: dict[ObjectName, Route] = {}
        self._routes_to: dict[_ServiceName, set[ObjectName]] = {}

    # --- pods ---

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Keeps the labels of pods; remembered pods keep theirs until they are forgotten."""
        if old is not None:
            for label in _labels(old):
                pods = self._pods_by_label[label]
                pods.pop(old.uid, None)
                if not pods:
                    del self._pods_by_label[label]
        if new is not None:
            for label in _labels(new):
                self._pods_by_label.setdefault(label, {})[new.uid] = new

    # --- Services and routes: what they concern ---

    def service_changed(self, service: Service) -> set[Workload]:
        """Takes the Service as it is now (a tombstone takes it away); the workloads that it selects or selected."""
        name = (service.namespace, service.name)
        old = self._services.pop(name, None)
        concerned = set() if old is None else self._selected(old)
        if old is not None and old.selector:
            self._unindex(_first_label(old), name)
        if service.gone_at is None:
            self._services[name] = service
            if service.selector:
                self._by_label.setdefault(_first_label(service), set()).add(name)
            concerned |= self._selected(service)
        return concerned

    def route_changed(self, route: Route) -> set[Workload]:
        """Takes the route as it is now (a tombstone takes it away); the workloads behind its Services, before and now."""
        old = self._routes.pop(route.key, None)
        backends = set(route.backends) if route.gone_at is None else set()
        before = set() if old is None else set(old.backends)
        for backend in before:
            routes = self._routes_to[backend]
            routes.discard(route.key)
            if not routes:
                del self._routes_to[backend]
        if route.gone_at is None:
            self._routes[route.key] = route
            for backend in backends:
                self._routes_to.setdefault(backend, set()).add(route.key)
        concerned: set[Workload] = set()
        for backend in before | backends:
            service = self._services.get(backend)
            if service is not None:
                concerned |= self._selected(service)
        return concerned

    def forget(self, key: ObjectName) -> set[Workload]:
        """Takes away the Service or route of this name; the workloads that it concerned."""
        if key.kind == "Service" and key.namespace is not None:
            service = self._services.get((key.namespace, key.name))
            return set() if service is None else self.service_changed(replace(service, gone_at=0.0))
        route = self._routes.get(key)
        return set() if route is None else self.route_changed(replace(route, gone_at=0.0))

    def _unindex(self, label: _Label, name: _ServiceName) -> None:
        services = self._by_label[label]
        services.discard(name)
        if not services:
            del self._by_label[label]

    def _selected(self, service: Service) -> set[Workload]:
        """The workloads of the pods that the selector matches; looked for where its rarest pair is."""
        if not service.selector:
            return set()
        candidates = [self._pods_by_label.get((service.namespace, key, value), {}) for key, value in service.selector]
        return {pod.workload for pod in min(candidates, key=len).values() if _selects(service, pod)}

    # --- the answer ---

    def of(self, shapes: Iterable[PodShape]) -> Exposure:
        """How a workload whose pods have these shapes is exposed: the worst of them; its reason is the same every time."""
        worst = (RANKS[INTERNAL], UNEXPOSED.reason)
        for namespace, labels, annotated, node_ports in shapes:
            if annotated == INTERNET:
                worst = min(worst, (RANKS[INTERNET], "its pods are annotated as exposed to the internet"))
            if node_ports:
                worst = min(worst, _of_node(node_ports))
            for key, value in labels:
                for name in self._by_label.get((namespace, key, value), ()):
                    service = self._services[name]
                    if set(service.selector) <= set(labels):
                        worst = min(worst, self._of_service(service))
        rank, reason = worst
        return Exposure(LEVELS[rank], reason)

    def _of_service(self, service: Service) -> tuple[int, str]:
        """Rank and reason of the exposure that this Service gives to what it selects."""
        title = f"Service {service.namespace}/{service.name}"
        if service.type in OUTSIDE_TYPES:
            at = f" at {_some(service.addresses)}" if service.addresses else ""
            return RANKS[INTERNET], f"{title} is of type {service.type}{at}"
        if service.external_ips:
            return RANKS[INTERNET], f"{title} has external IPs {_some(service.external_ips)}"
        if service.exposure == INTERNET:
            return RANKS[INTERNET], f"{title} is annotated as exposed to the internet"
        waiting = ""
        for key in sorted(self._routes_to.get((service.namespace, service.name), ()), key=str):
            route = self._routes[key]
            through = f" ({route.through})" if route.through else ""
            if route.addresses:
                return RANKS[INTERNET], f"{key}{through} leads to {title} from {_some(route.addresses)}"
            waiting = waiting or f"; {key}{through} leads there, but has no address"
        return RANKS[CLUSTER], f"{title} selects it{waiting}"


def shape_of(pod: Pod) -> PodShape:
    """What of this pod decides about exposure."""
    node_ports = (NODE_NETWORK, *pod.host_ports) if pod.host_network else pod.host_ports
    return PodShape(pod.namespace, pod.labels, pod.exposure, node_ports)


def _of_node(node_ports: tuple[int, ...]) -> tuple[int, str]:
    """Rank and reason of ports on the addresses of nodes: like a NodePort's, they are open to whoever reaches a node."""
    how = "hostNetwork" if node_ports[0] == NODE_NETWORK else "hostPort"
    ports = [str(port) for port in node_ports if port != NODE_NETWORK]
    if ports:
        return RANKS[INTERNET], f"its pods listen on port {_some(ports)} of their nodes ({how})"
    return RANKS[CLUSTER], "its pods share the network of their nodes (hostNetwork) and declare no port"


def _some(values: Sequence[str]) -> str:
    more = len(values) - ADDRESSES_SHOWN
    return ", ".join(values[:ADDRESSES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _labels(pod: Pod) -> list[_Label]:
    return [(pod.namespace, key, value) for key, value in pod.labels]


def _first_label(service: Service) -> _Label:
    key, value = min(service.selector)
    return (service.namespace, key, value)


def _selects(service: Service, pod: Pod) -> bool:
    return service.namespace == pod.namespace and set(service.selector) <= set(pod.labels)
