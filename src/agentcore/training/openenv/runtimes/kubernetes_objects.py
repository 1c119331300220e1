"""Kubernetes objects as far as environments need them, in the words of its API.

Types of our own: the client library takes 0.3 s to import and is an extra, while manifests are also
printed and written to files without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from agentcore.kit.jsonvalue import JsonObject

Labels = Mapping[str, str]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=AliasGenerator(serialization_alias=to_camel),
    )


class ObjectMeta(_Part):
    name: str
    namespace: str | None = None
    labels: Labels | None = None
    annotations: Labels | None = None


class Selector(_Part):
    """Without labels it selects everything."""

    match_labels: Labels | None = None


class KubernetesObject(_Part):
    """Anything that can be applied."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    def document(self) -> JsonObject:
        """As the API takes it; members that are None are left out."""
        document: JsonObject = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return document


class Secret(KubernetesObject):
    api_version: Literal["v1"] = "v1"
    kind: Literal["Secret"] = "Secret"
    type: str = "Opaque"
    string_data: Labels = Field(repr=False)


class SecretKey(_Part):
    name: str
    key: str


class ValueFrom(_Part):
    secret_key_ref: SecretKey


class Variable(_Part):
    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class HttpGet(_Part):
    path: str
    port: str


class Probe(_Part):
    http_get: HttpGet
    period_seconds: int
    timeout_seconds: int = 2
    failure_threshold: int = 3


class Amounts(_Part):
    """Requests by name, limits by name; both in Kubernetes' notation."""

    requests: Labels
    limits: Labels


class Capabilities(_Part):
    drop: tuple[str, ...]


class ContainerSecurity(_Part):
    allow_privilege_escalation: bool = False
    read_only_root_filesystem: bool
    capabilities: Capabilities = Capabilities(drop=("ALL",))


class SeccompProfile(_Part):
    type: str = "RuntimeDefault"


class PodSecurity(_Part):
    run_as_non_root: bool = True
    run_as_user: int | None = None
    run_as_group: int | None = None
    seccomp_profile: SeccompProfile = SeccompProfile()


class Sleep(_Part):
    seconds: int


class Handler(_Part):
    sleep: Sleep


class Lifecycle(_Part):
    pre_stop: Handler


class ContainerPort(_Part):
    name: str
    container_port: int
    protocol: str = "TCP"


class VolumeMount(_Part):
    name: str
    mount_path: str


class PodContainer(_Part):
    name: str
    image: str
    args: tuple[str, ...] | None = None
    ports: tuple[ContainerPort, ...]
    env: tuple[Variable, ...] | None = None
    resources: Amounts
    startup_probe: Probe
    liveness_probe: Probe
    readiness_probe: Probe
    lifecycle: Lifecycle | None = None
    security_context: ContainerSecurity
    volume_mounts: tuple[VolumeMount, ...]


class EmptyDir(_Part):
    size_limit: str | None = None


class Volume(_Part):
    name: str
    empty_dir: EmptyDir


class TopologySpread(_Part):
    max_skew: int = 1
    topology_key: str
    when_unsatisfiable: str = "ScheduleAnyway"
    label_selector: Selector


class PodSpec(_Part):
    automount_service_account_token: bool = False
    enable_service_links: bool = False
    termination_grace_period_seconds: int
    security_context: PodSecurity
    topology_spread_constraints: tuple[TopologySpread, ...]
    containers: tuple[PodContainer, ...]
    volumes: tuple[Volume, ...]


class PodTemplate(_Part):
    metadata: TemplateMeta
    spec: PodSpec


class TemplateMeta(_Part):
    labels: Labels
    annotations: Labels | None = None


class RollingUpdate(_Part):
    max_unavailable: int = 0
    max_surge: int = 1


class Strategy(_Part):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class DeploymentSpec(_Part):
    replicas: int
    revision_history_limit: int = 3
    progress_deadline_seconds: int
    strategy: Strategy = Strategy()
    selector: Selector
    template: PodTemplate


class Deployment(KubernetesObject):
    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec


class ServicePort(_Part):
    name: str
    port: int
    target_port: str
    protocol: str = "TCP"


class ClientIP(_Part):
    timeout_seconds: int


class SessionAffinity(_Part):
    client_ip: ClientIP = Field(serialization_alias="clientIP")


class ServiceSpec(_Part):
    type: str = "ClusterIP"
    selector: Labels
    ports: tuple[ServicePort, ...]
    session_affinity: str = "ClientIP"
    session_affinity_config: SessionAffinity


class ServiceObject(KubernetesObject):
    api_version: Literal["v1"] = "v1"
    kind: Literal["Service"] = "Service"
    spec: ServiceSpec


class DisruptionSpec(_Part):
    max_unavailable: int
    selector: Selector


class PodDisruptionBudget(KubernetesObject):
    api_version: Literal["policy/v1"] = "policy/v1"
    kind: Literal["PodDisruptionBudget"] = "PodDisruptionBudget"
    spec: DisruptionSpec


class PolicyPort(_Part):
    protocol: str
    port: str | int


class IpBlock(_Part):
    cidr: str
    except_: tuple[str, ...] = Field((), serialization_alias="except")


class Peer(_Part):
    """Several members together mean all of them at once."""

    namespace_selector: Selector | None = None
    pod_selector: Selector | None = None
    ip_block: IpBlock | None = None


class IngressRule(_Part):
    """``from_`` may send to ``ports``."""

    from_: tuple[Peer, ...] = Field(serialization_alias="from")
    ports: tuple[PolicyPort, ...]


class EgressRule(_Part):
    to: tuple[Peer, ...]
    ports: tuple[PolicyPort, ...] | None = None


class PolicySpec(_Part):
    pod_selector: Selector
    policy_types: tuple[str, ...] = ("Ingress", "Egress")
    ingress: tuple[IngressRule, ...]
    egress: tuple[EgressRule, ...]


class NetworkPolicy(KubernetesObject):
    api_version: Literal["networking.k8s.io/v1"] = "networking.k8s.io/v1"
    kind: Literal["NetworkPolicy"] = "NetworkPolicy"
    spec: PolicySpec
