"""A Parallax cluster on Kubernetes: its objects, made from what an operator decides.

What upstream offers is followed to the letter: one image whose role is its command, no variable of
its own, HTTP of the scheduler on 3001 and of the first node on 3000, peers found by a multiaddress.
A scheduler asks nobody who he is, so a network policy decides who reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentcore.kit.jsonvalue import JsonObject, JsonValue

NAMESPACE = "agentcore-parallax"
SCHEDULER = "parallax-controller"
WORKER = "parallax-gpu-worker"
WORKERS = "parallax-gpu-workers"
CONFIG = "parallax-cluster-config"
HTTP_PORT, NODE_PORT, PEER_PORT = 3001, 3000, 18080
# The scheduler keeps the key that makes its peer id in its working directory.
KEY_FOLDER = "/var/lib/parallax"
MODEL_FOLDER = "/models"
IMAGE = "gradientservice/parallax:latest"


class ClusterPlan(BaseModel):
    """``peer_id`` is what the scheduler says of itself when it first started, and keeps as long as
    its volume; workers wait until it is filled in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("Qwen/Qwen3-8B", min_length=1, description="A name of its GET /model/list.")
    workers: int = Field(2, ge=1, le=1000, description="Nodes; as many have to join.")
    gpus: int = Field(1, ge=1, le=16, description="GPUs of each node.")
    memory: str = Field("24Gi", description="Memory of each node.")
    cache: str = Field("100Gi", description="Volume of each node for the models' weights.")
    concurrency: int = Field(8, ge=1, description="Requests that a node runs at once.")
    sequence: int = Field(2048, ge=1, description="Longest prompt and answer together, in tokens.")
    image: str = Field(IMAGE, min_length=1)
    peer_id: str = Field("", pattern=r"^([1-9A-HJ-NP-Za-km-z]{10,80})?$")
    gateway_namespace: str = Field("agentcore", description="Whose pods may ask for completions.")
    monitoring_namespace: str = Field("monitoring", description="Whose pods may read metrics.")
    node_selector: dict[str, str] = Field(default_factory=lambda: {"gpu": "nvidia-l4"})

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if any(character.isspace() for character in self.model + self.image):
            raise ValueError("neither a model nor an image has blanks in its name")
        return self

    @property
    def scheduler_address(self) -> str:
        """A bare peer id would send the nodes to public relays."""
        where = f"{SCHEDULER}.{NAMESPACE}.svc.cluster.local"
        return f"/dns4/{where}/tcp/{PEER_PORT}/p2p/{self.peer_id}"


def scheduler_command(plan: ClusterPlan) -> list[str]:
    """``-u`` keeps it from telling its version to its makers."""
    ports = ["--tcp-port", str(PEER_PORT), "--udp-port", str(PEER_PORT)]
    return [
        *("parallax", "run", "-u", "-m", plan.model, "-n", str(plan.workers)),
        *("--host", "0.0.0.0", "--port", str(HTTP_PORT)),  # noqa: S104 - the policy is the door
        *ports,
    ]


def worker_command(plan: ClusterPlan) -> list[str]:
    ports = ["--tcp-port", str(PEER_PORT), "--udp-port", str(PEER_PORT)]
    return [
        *("parallax", "join", "-u", "-s", "$(SCHEDULER_ADDR)"),
        *("--host", "0.0.0.0", "--port", str(NODE_PORT)),  # noqa: S104 - the policy is the door
        *ports,
        *("--max-concurrent-requests", str(plan.concurrency)),
        *("--max-sequence-length", str(plan.sequence)),
    ]


def cluster_objects(plan: ClusterPlan) -> Mapping[str, list[JsonObject]]:
    """The objects by the file that they belong to, in the order in which to apply them."""
    return {
        "namespace.yaml": [_namespace()],
        "cluster-config.yaml": [_config(plan)],
        "deployment.yaml": [_claim(), _scheduler(plan), _scheduler_service()],
        "gpu-worker.yaml": [_workers(plan), _workers_service()],
        "network-policy.yaml": [_scheduler_policy(plan), _worker_policy(plan)],
        "monitoring.yaml": [_metrics_service(), _service_monitor()],
    }


def _namespace() -> JsonObject:
    labels: JsonObject = {
        "app.kubernetes.io/name": "parallax",
        "app.kubernetes.io/component": "llm-infrastructure",
        "app.kubernetes.io/part-of": "agentcore",
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }


def _config(plan: ClusterPlan) -> JsonObject:
    data: JsonObject = {
        "MODEL_NAME": plan.model,
        "INIT_NODES_NUM": str(plan.workers),
        "SCHEDULER_ADDR": plan.scheduler_address,
    }
    return _object("v1", "ConfigMap", CONFIG, data=data)


def _claim() -> JsonObject:
    return _object("v1", "PersistentVolumeClaim", f"{SCHEDULER}-key", spec=_storage("1Gi"))


def _scheduler(plan: ClusterPlan) -> JsonObject:
    container: JsonObject = {
        "name": "scheduler",
        "image": plan.image,
        "command": _texts(scheduler_command(plan)),
        "workingDir": KEY_FOLDER,
        "ports": [_port("http", HTTP_PORT), *_peer_ports()],
        # It serves no health route; its status is slow while it routes, which is no reason to
        # start it anew.
        "startupProbe": {"tcpSocket": {"port": "http"}, "failureThreshold": 60},
        "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 30},
        "resources": {
            "requests": {"cpu": "1", "memory": "2Gi"},
            "limits": {"cpu": "4", "memory": "8Gi"},
        },
        "volumeMounts": [{"name": "key", "mountPath": KEY_FOLDER}],
    }
    volume: JsonObject = {
        "name": "key",
        "persistentVolumeClaim": {"claimName": f"{SCHEDULER}-key"},
    }
    spec: JsonObject = {
        "replicas": 1,
        # Two schedulers with one key would be one peer at two places.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app": SCHEDULER}},
        "template": _pod(SCHEDULER, container, volumes=[volume]),
    }
    return _object("apps/v1", "Deployment", SCHEDULER, spec=spec)


def _workers(plan: ClusterPlan) -> JsonObject:
    container: JsonObject = {
        "name": "node",
        "image": plan.image,
        "command": _texts(worker_command(plan)),
        "env": [
            {
                "name": "SCHEDULER_ADDR",
                "valueFrom": {"configMapKeyRef": {"name": CONFIG, "key": "SCHEDULER_ADDR"}},
            },
            {"name": "HF_HOME", "value": MODEL_FOLDER},
        ],
        "ports": [_port("http", NODE_PORT), *_peer_ports()],
        "resources": {
            "requests": {"nvidia.com/gpu": str(plan.gpus), "memory": plan.memory},
            "limits": {"nvidia.com/gpu": str(plan.gpus), "memory": plan.memory},
        },
        "volumeMounts": [{"name": "model-cache", "mountPath": MODEL_FOLDER}],
    }
    selector: JsonObject = {**plan.node_selector}
    spec: JsonObject = {
        "serviceName": WORKERS,
        "replicas": plan.workers,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": WORKER}},
        "template": _pod(WORKER, container, nodeSelector=selector),
        "volumeClaimTemplates": [
            {"metadata": {"name": "model-cache"}, "spec": _storage(plan.cache)}
        ],
    }
    return _object("apps/v1", "StatefulSet", WORKER, spec=spec)


def _scheduler_service() -> JsonObject:
    ports: list[JsonValue] = [
        {"name": "http", "port": HTTP_PORT, "targetPort": "http"},
        {"name": "peers-tcp", "port": PEER_PORT, "targetPort": "peers-tcp"},
        {"name": "peers-udp", "port": PEER_PORT, "targetPort": "peers-udp", "protocol": "UDP"},
    ]
    spec: JsonObject = {"selector": {"app": SCHEDULER}, "ports": ports}
    return _object("v1", "Service", SCHEDULER, spec=spec)


def _workers_service() -> JsonObject:
    spec: JsonObject = {
        "clusterIP": "None",
        # Nodes find each other before any of them is ready.
        "publishNotReadyAddresses": True,
        "selector": {"app": WORKER},
        "ports": [{"name": "http", "port": NODE_PORT, "targetPort": "http"}],
    }
    return _object("v1", "Service", WORKERS, spec=spec)


def _scheduler_policy(plan: ClusterPlan) -> JsonObject:
    """Whoever reaches 3001 can replace the model and the weights."""
    return _policy(
        SCHEDULER,
        _allow([_namespaced(plan.gateway_namespace)], [_tcp(HTTP_PORT)]),
        _allow([_pods(WORKER)], _peers()),
    )


def _worker_policy(plan: ClusterPlan) -> JsonObject:
    return _policy(
        WORKER,
        _allow(
            [_namespaced(plan.gateway_namespace), _namespaced(plan.monitoring_namespace)],
            [_tcp(NODE_PORT)],
        ),
        _allow([_pods(WORKER), _pods(SCHEDULER)], _peers()),
    )


def _metrics_service() -> JsonObject:
    spec: JsonObject = {
        "clusterIP": "None",
        "selector": {"app": WORKER},
        "ports": [{"name": "metrics", "port": NODE_PORT, "targetPort": "http"}],
    }
    return _object("v1", "Service", "parallax-metrics", labels={"app": WORKER}, spec=spec)


def _service_monitor() -> JsonObject:
    """Of the nodes: the scheduler serves no metrics."""
    spec: JsonObject = {
        "selector": {"matchLabels": {"app": WORKER}},
        "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "30s"}],
    }
    return _object("monitoring.coreos.com/v1", "ServiceMonitor", "parallax-monitoring", spec=spec)


def _object(
    version: str,
    kind: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    **members: JsonValue,
) -> JsonObject:
    metadata: JsonObject = {"name": name, "namespace": NAMESPACE}
    if labels is not None:
        metadata["labels"] = {**labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **members}


def _pod(app: str, container: JsonObject, **members: JsonValue) -> JsonObject:
    spec: JsonObject = {
        "automountServiceAccountToken": False,
        "containers": [container],
        **members,
    }
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def _storage(size: str) -> JsonObject:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}


def _policy(app: str, *ingress: JsonObject) -> JsonObject:
    spec: JsonObject = {
        "podSelector": {"matchLabels": {"app": app}},
        "policyTypes": ["Ingress"],
        "ingress": [*ingress],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", app, spec=spec)


def _allow(sources: list[JsonValue], ports: list[JsonValue]) -> JsonObject:
    return {"from": sources, "ports": ports}


def _namespaced(name: str) -> JsonObject:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _pods(app: str) -> JsonObject:
    return {"podSelector": {"matchLabels": {"app": app}}}


def _tcp(port: int) -> JsonObject:
    return {"protocol": "TCP", "port": port}


def _peers() -> list[JsonValue]:
    return [_tcp(PEER_PORT), {"protocol": "UDP", "port": PEER_PORT}]


def _port(name: str, number: int) -> JsonObject:
    return {"name": name, "containerPort": number}


def _peer_ports() -> list[JsonValue]:
    return [_port("peers-tcp", PEER_PORT), {**_port("peers-udp", PEER_PORT), "protocol": "UDP"}]


def _texts(words: list[str]) -> list[JsonValue]:
    return [*words]
