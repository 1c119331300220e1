"""Settings of deploying; apart from what deploys, so that reading settings loads none of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NAMESPACE = "agentcore-openenv"


class DeploymentConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: Literal["local", "docker", "kubernetes"] = Field(
        "local",
        description="What runs deployed environments: processes of this machine, its Docker "
        "engine, or a Kubernetes cluster.",
    )
    wait_seconds: float = Field(
        120.0, gt=0, description="Seconds that a deployment may take until it serves."
    )
    drain_seconds: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Seconds that sessions of a replica that is taken away may still play on.",
    )
    image_prefix: str = Field(
        "agentcore/openenv-",
        description="Image of a bundled environment: this, its name with hyphens, and its version "
        "as tag.",
    )
    namespace: str = Field(
        NAMESPACE,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Kubernetes namespace of the environments.",
    )
    kubeconfig: str = Field(
        "",
        description="Kubernetes credentials file; empty: as kubectl finds it, or those of the pod.",
    )
    context: str = Field("", description="Context of the kubeconfig; empty: its current one.")
    docker_host: str = Field(
        "unix:///var/run/docker.sock",
        description="Docker engine: unix:///path, or tcp://127.0.0.1:port.",
    )
