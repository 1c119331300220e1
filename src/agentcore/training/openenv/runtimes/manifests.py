"""A spec as Kubernetes objects: what serves it, who reaches it, what it may reach.

Departures from the specification are in docs/adr/0007-environments-on-kubernetes.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from agentcore.training.openenv.models import DeploymentConfig
from agentcore.training.openenv.runtimes.containers import (
    PORT,
    SECRET_VARIABLE,
    Container,
    container_of,
    version_tag,
)
from agentcore.training.openenv.runtimes.kubernetes_objects import (
    Amounts,
    ClientIP,
    ContainerPort,
    ContainerSecurity,
    Deployment,
    DeploymentSpec,
    DisruptionSpec,
    EgressRule,
    EmptyDir,
    Handler,
    HttpGet,
    IngressRule,
    IpBlock,
    KubernetesObject,
    Lifecycle,
    NetworkPolicy,
    ObjectMeta,
    Peer,
    PodContainer,
    PodDisruptionBudget,
    PodSecurity,
    PodSpec,
    PodTemplate,
    PolicyPort,
    PolicySpec,
    Probe,
    Secret,
    SecretKey,
    Selector,
    ServiceObject,
    ServicePort,
    ServiceSpec,
    SessionAffinity,
    Sleep,
    TemplateMeta,
    TopologySpread,
    ValueFrom,
    Variable,
    Volume,
    VolumeMount,
)
from agentcore.training.openenv.runtimes.naming import check_name, check_replicas, object_name
from agentcore.training.openenv.runtimes.quantities import check_resources
from agentcore.training.openenv.specs import EnvironmentSpec, Resources

COMPONENT = "openenv"
MANAGER = "agentcore"
SELECTOR = f"app.kubernetes.io/component={COMPONENT},app.kubernetes.io/managed-by={MANAGER}"
# Labels cannot hold every name, annotations can.
NAME_ANNOTATION = "agentcore/environment"
VERSION_ANNOTATION = "agentcore/version"
SECRET_KEY = "jwt-secret"  # noqa: S105 - the name of a key
SERVICE_PORT = 80
AFFINITY_SECONDS = 3 * 3600
# After the drain, for the server's own goodbye.
GOODBYE_SECONDS = 15
# Whatever a foreign image may talk to, it is not what else runs in the cluster or the cloud's own.
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


def environment_objects(
    spec: EnvironmentSpec,
    config: DeploymentConfig,
    *,
    replicas: int,
    resources: Resources,
    secret: str = "",
) -> tuple[KubernetesObject, ...]:
    """In the order in which they are to be applied.

    ``secret`` names the Secret that own images check tokens with; by default it is of the same
    name as all other objects.

    Raises:
        InvalidDeployment: the spec, the number or the resources are not to be deployed.
    """
    check_name(spec.name)
    check_replicas(replicas)
    check_resources(resources)
    container = container_of(spec, config.image_prefix)
    meta, app = metadata(spec, config.namespace), app_labels(spec.name)
    return (
        NetworkPolicy(metadata=meta, spec=_policy(app, container)),
        PodDisruptionBudget(metadata=meta, spec=DisruptionSpec(max_unavailable=1, selector=app)),
        ServiceObject(metadata=meta, spec=_service(app)),
        Deployment(
            metadata=meta,
            spec=DeploymentSpec(
                replicas=replicas,
                progress_deadline_seconds=max(1, math.ceil(config.wait_seconds)),
                selector=app,
                template=PodTemplate(
                    metadata=TemplateMeta(labels={**_labels(spec), **(app.match_labels or {})}),
                    spec=_pod(container, app, resources, config, secret or meta.name),
                ),
            ),
        ),
    )


def signing_secret(spec: EnvironmentSpec, namespace: str, secret: str) -> Secret:
    return Secret(metadata=metadata(spec, namespace), string_data={SECRET_KEY: secret})


def metadata(spec: EnvironmentSpec, namespace: str) -> ObjectMeta:
    """The same for every object of a deployment: undeploying finds them by these labels."""
    name = object_name(spec.name)
    annotations = {NAME_ANNOTATION: spec.name, VERSION_ANNOTATION: spec.version}
    return ObjectMeta(
        name=name,
        namespace=namespace,
        labels={"app": name, **_labels(spec)},
        annotations=annotations,
    )


def app_labels(name: str) -> Selector:
    """Immutable in a Deployment, so nothing that may ever change is among them."""
    return Selector(match_labels={"app": object_name(name)})


def yaml_documents(objects: Iterable[KubernetesObject]) -> str:
    import yaml  # noqa: PLC0415 -- nobody needs it before a manifest is written

    texts = (yaml.safe_dump(each.document(), sort_keys=False) for each in objects)
    return "---\n".join(texts)


def _labels(spec: EnvironmentSpec) -> dict[str, str]:
    labels = {
        "app.kubernetes.io/name": "openenv-environment",
        "app.kubernetes.io/component": COMPONENT,
        "app.kubernetes.io/part-of": MANAGER,
        "app.kubernetes.io/managed-by": MANAGER,
    }
    if version := version_tag(spec.version):
        labels["app.kubernetes.io/version"] = version
    return labels


def _pod(
    container: Container, app: Selector, resources: Resources, config: DeploymentConfig, secret: str
) -> PodSpec:
    drain = math.ceil(config.drain_seconds)
    return PodSpec(
        termination_grace_period_seconds=drain + GOODBYE_SECONDS,
        security_context=PodSecurity(run_as_user=container.user, run_as_group=container.user),
        topology_spread_constraints=(
            TopologySpread(topology_key="kubernetes.io/hostname", label_selector=app),
        ),
        containers=(
            PodContainer(
                name="environment",
                image=container.image,
                args=container.args or None,
                ports=(ContainerPort(name="http", container_port=PORT),),
                env=_variables(container, secret) or None,
                resources=_amounts(resources),
                # Others' environments take their time to import; nothing else waits for it.
                startup_probe=_probe(period=1, failures=120),
                liveness_probe=_probe(period=30),
                readiness_probe=_probe(period=5),
                # Meanwhile no new session comes, and those there are play on.
                lifecycle=Lifecycle(pre_stop=Handler(sleep=Sleep(seconds=drain)))
                if drain
                else None,
                security_context=ContainerSecurity(
                    read_only_root_filesystem=not container.writable
                ),
                volume_mounts=(VolumeMount(name="tmp", mount_path="/tmp"),),  # noqa: S108 - its own
            ),
        ),
        volumes=(Volume(name="tmp", empty_dir=EmptyDir(size_limit="256Mi")),),
    )


def _probe(*, period: int, failures: int = 3) -> Probe:
    """/health, never /ready: that exists on our servers only, and others' would never get ready."""
    return Probe(
        http_get=HttpGet(path="/health", port="http"),
        period_seconds=period,
        failure_threshold=failures,
    )


def _variables(container: Container, secret: str) -> tuple[Variable, ...]:
    plain = tuple(Variable(name=name, value=text) for name, text in container.environment.items())
    if not container.own:
        return plain
    signing = ValueFrom(secret_key_ref=SecretKey(name=secret, key=SECRET_KEY))
    return (*plain, Variable(name=SECRET_VARIABLE, value_from=signing))


def _amounts(resources: Resources) -> Amounts:
    gpu = {"nvidia.com/gpu": str(resources.gpu)} if resources.gpu else {}
    return Amounts(
        requests={"cpu": resources.cpu, "memory": resources.memory, **gpu},
        limits={"cpu": resources.cpu_limit, "memory": resources.memory_limit, **gpu},
    )


def _service(app: Selector) -> ServiceSpec:
    return ServiceSpec(
        selector=app.match_labels or {},
        ports=(ServicePort(name="http", port=SERVICE_PORT, target_port="http"),),
        # A session opened by POST /mcp is attached to by a socket of its own: to the same pod.
        session_affinity_config=SessionAffinity(
            client_ip=ClientIP(timeout_seconds=AFFINITY_SECONDS)
        ),
    )


def _policy(app: Selector, container: Container) -> PolicySpec:
    """Who belongs to AgentCore or is its ingress may call; our own environments call nobody."""
    neighbours = (
        Peer(pod_selector=Selector()),
        Peer(namespace_selector=Selector(match_labels={"app.kubernetes.io/part-of": MANAGER})),
        Peer(
            namespace_selector=Selector(
                match_labels={"kubernetes.io/metadata.name": "ingress-nginx"}
            )
        ),
    )
    names = (PolicyPort(protocol="UDP", port=53), PolicyPort(protocol="TCP", port=53))
    world = (
        EgressRule(to=(Peer(namespace_selector=Selector()),), ports=names),
        EgressRule(to=(Peer(ip_block=IpBlock(cidr="0.0.0.0/0", except_=PRIVATE)),)),
    )
    return PolicySpec(
        pod_selector=app,
        ingress=(IngressRule(from_=neighbours, ports=(PolicyPort(protocol="TCP", port="http"),)),),
        egress=() if container.own else world,
    )
