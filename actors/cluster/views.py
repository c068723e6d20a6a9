"""Views of Kubernetes objects: the fields that records are made of, and nothing else, so that msgspec never builds the rest.

Values of Secrets and of environment variables, annotations (but two) and managedFields have no field here: they cannot
survive. Go writes empty lists and maps as null, so every one of them may be None. Counterpart: decode.py, mounts.py.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct


class View(Struct, frozen=True, gc=False, rename="camel"):
    """Base of all views: camelCase names, unknown fields skipped."""


class Envelope(View, frozen=True):
    """A document: one object, or a list of them. `items` stays bytes until the kind says that it is a list."""

    kind: str = ""
    api_version: str = ""
    items: Raw = Raw()


class Head(View, frozen=True):
    """What an item of a list says about itself."""

    kind: str = ""
    api_version: str = ""


class Annotations(
    Struct,
    frozen=True,
    gc=False,
    rename={"exposure": "protector.dev/exposure", "ingress_class": "kubernetes.io/ingress.class"},
):
    """The only annotations that are looked at."""

    exposure: str | None = None
    ingress_class: str | None = None
    """How the class of an Ingress was said before there was a field for it; controllers still heed it."""


class OwnerReference(View, frozen=True):
    """metadata.ownerReferences[]."""

    kind: str
    name: str
    uid: str = ""
    controller: bool | None = None


class Meta(View, frozen=True):
    """metadata of kinds that have labels and owners but no annotation of interest."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    labels: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class AnnotatedMeta(Meta, frozen=True):
    """metadata of Pods, Services and Ingresses."""

    annotations: Annotations | None = None


class NameRef(View, frozen=True):
    """A reference by name within the namespace (LocalObjectReference)."""

    name: str | None = None


# --- pods ----------------------------------------------------------------------------------------------------------


class SecretVolume(View, frozen=True):
    """volumes[].secret, and azureFile, which names its Secret likewise."""

    secret_name: str | None = None


class ProjectedSource(View, frozen=True):
    """volumes[].projected.sources[]."""

    secret: NameRef | None = None
    service_account_token: NoFields | None = None


class NoFields(View, frozen=True):
    """An object of which only the presence counts."""


class ProjectedVolume(View, frozen=True):
    """volumes[].projected."""

    sources: list[ProjectedSource] | None = None


class CsiVolume(View, frozen=True):
    """volumes[].csi."""

    node_publish_secret_ref: NameRef | None = None


class PluginVolume(View, frozen=True):
    """A volume plugin with a secretRef."""

    secret_ref: NameRef | None = None


class Volume(View, frozen=True, rename={"flex_volume": "flexVolume", "scale_io": "scaleIO", "azure_file": "azureFile"}):
    """volumes[]: those sources that can name a Secret (k8s.io/api core/v1 VolumeSource)."""

    name: str = ""
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None
    csi: CsiVolume | None = None
    azure_file: SecretVolume | None = None
    cephfs: PluginVolume | None = None
    cinder: PluginVolume | None = None
    flex_volume: PluginVolume | None = None
    iscsi: PluginVolume | None = None
    rbd: PluginVolume | None = None
    scale_io: PluginVolume | None = None
    storageos: PluginVolume | None = None


class VolumeMount(View, frozen=True):
    """containers[].volumeMounts[]."""

    name: str = ""
    mount_path: str = ""


class EnvSource(View, frozen=True):
    """containers[].env[].valueFrom."""

    secret_key_ref: NameRef | None = None


class EnvVar(View, frozen=True):
    """containers[].env[], without its value."""

    value_from: EnvSource | None = None


class EnvFrom(View, frozen=True):
    """containers[].envFrom[]."""

    secret_ref: NameRef | None = None


class ContainerPort(
    View, frozen=True, rename={"container_port": "containerPort", "host_port": "hostPort", "host_ip": "hostIP"}
):
    """containers[].ports[]."""

    container_port: int = 0
    host_port: int | None = None
    host_ip: str | None = None


class Container(View, frozen=True):
    """containers[], initContainers[], ephemeralContainers[]."""

    ports: list[ContainerPort] | None = None
    volume_mounts: list[VolumeMount] | None = None
    env: list[EnvVar] | None = None
    env_from: list[EnvFrom] | None = None


class PodSpec(View, frozen=True):
    """spec of a Pod."""

    service_account_name: str | None = None
    node_name: str | None = None
    host_network: bool | None = None
    automount_service_account_token: bool | None = None
    image_pull_secrets: list[NameRef] | None = None
    volumes: list[Volume] | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    ephemeral_containers: list[Container] | None = None


class Ip(View, frozen=True):
    """status.podIPs[], status.hostIPs[]."""

    ip: str | None = None


class PodStatus(
    View, frozen=True, rename={"pod_ip": "podIP", "pod_ips": "podIPs", "host_ip": "hostIP", "host_ips": "hostIPs"}
):
    """status of a Pod."""

    phase: str | None = None
    pod_ip: str | None = None
    pod_ips: list[Ip] | None = None
    host_ip: str | None = None
    host_ips: list[Ip] | None = None


class PodView(View, frozen=True):
    """A Pod."""

    metadata: AnnotatedMeta
    spec: PodSpec | None = None
    status: PodStatus | None = None


# --- accounts, RBAC, Secrets -----------------------------------------------------------------------------------------


class ServiceAccountView(View, frozen=True):
    """A ServiceAccount."""

    metadata: Meta
    automount_service_account_token: bool | None = None
    image_pull_secrets: list[NameRef] | None = None


class RuleView(View, frozen=True):
    """rules[] of a role."""

    verbs: list[str] | None = None
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    resource_names: list[str] | None = None


class Requirement(View, frozen=True):
    """matchExpressions[]."""

    key: str
    operator: str
    values: list[str] | None = None


class Selector(View, frozen=True):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class AggregationRule(View, frozen=True):
    """aggregationRule of a ClusterRole."""

    cluster_role_selectors: list[Selector] | None = None


class RoleView(View, frozen=True):
    """A Role or ClusterRole."""

    metadata: Meta
    rules: list[RuleView] | None = None
    aggregation_rule: AggregationRule | None = None


class SubjectView(View, frozen=True):
    """subjects[] of a binding."""

    kind: str = ""
    name: str = ""
    namespace: str | None = None


class RoleRef(View, frozen=True):
    """roleRef of a binding."""

    kind: str = ""
    name: str = ""


class BindingView(View, frozen=True):
    """A RoleBinding or ClusterRoleBinding."""

    metadata: Meta
    role_ref: RoleRef
    subjects: list[SubjectView] | None = None


class SecretView(View, frozen=True):
    """A Secret: no data, no stringData."""

    metadata: Meta
    type: str | None = None


class PlainView(View, frozen=True):
    """An object of which the metadata is enough."""

    metadata: Meta


# --- exposure ----------------------------------------------------------------------------------------------------------


class Ingress(View, frozen=True):
    """status.loadBalancer.ingress[]."""

    ip: str | None = None
    hostname: str | None = None


class LoadBalancer(View, frozen=True):
    """status.loadBalancer."""

    ingress: list[Ingress] | None = None


class BalancerStatus(View, frozen=True):
    """status of a Service or an Ingress."""

    load_balancer: LoadBalancer | None = None


class ServiceSpec(View, frozen=True, rename={"external_ips": "externalIPs"}):
    """spec of a Service."""

    type: str | None = None
    selector: dict[str, str] | None = None
    external_ips: list[str] | None = None


class ServiceView(View, frozen=True):
    """A Service."""

    metadata: AnnotatedMeta
    spec: ServiceSpec | None = None
    status: BalancerStatus | None = None


class IngressBackend(View, frozen=True):
    """A backend of an Ingress (networking.k8s.io/v1)."""

    service: NameRef | None = None


class IngressPath(View, frozen=True):
    """rules[].http.paths[]."""

    backend: IngressBackend | None = None


class IngressHttp(View, frozen=True):
    """rules[].http."""

    paths: list[IngressPath] | None = None


class IngressRule(View, frozen=True):
    """rules[]."""

    http: IngressHttp | None = None


class IngressSpec(View, frozen=True):
    """spec of an Ingress."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: list[IngressRule] | None = None


class IngressView(View, frozen=True):
    """An Ingress."""

    metadata: AnnotatedMeta
    spec: IngressSpec | None = None
    status: BalancerStatus | None = None


class ObjectRef(View, frozen=True):
    """parentRefs[] and backendRefs[] of a Gateway API route; kind and group absent mean their defaults."""

    name: str = ""
    namespace: str | None = None
    kind: str | None = None
    group: str | None = None


class RouteRule(View, frozen=True):
    """rules[] of a Gateway API route."""

    backend_refs: list[ObjectRef] | None = None


class RouteSpec(View, frozen=True):
    """spec of a Gateway API route."""

    parent_refs: list[ObjectRef] | None = None
    rules: list[RouteRule] | None = None


class Condition(View, frozen=True):
    """conditions[] of a status."""

    type: str = ""
    status: str = ""


class RouteParent(View, frozen=True):
    """status.parents[] of a Gateway API route: what one of its parents' controllers says."""

    parent_ref: ObjectRef
    conditions: list[Condition] | None = None


class RouteStatus(View, frozen=True):
    """status of a Gateway API route."""

    parents: list[RouteParent] | None = None


class RouteView(View, frozen=True):
    """A Gateway API route."""

    metadata: Meta
    spec: RouteSpec | None = None
    status: RouteStatus | None = None


class GatewayAddress(View, frozen=True):
    """status.addresses[] of a Gateway."""

    value: str | None = None


class GatewayStatus(View, frozen=True):
    """status of a Gateway."""

    addresses: list[GatewayAddress] | None = None


class GatewayView(View, frozen=True):
    """A Gateway."""

    metadata: Meta
    status: GatewayStatus | None = None


AnyView = Any
"""One of the views above; the table in decode.py pairs each with the function that takes it."""
