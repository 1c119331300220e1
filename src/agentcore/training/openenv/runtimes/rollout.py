"""How far a Deployment is, and why not further: read from what the cluster says, decided purely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentcore.kit.jsonvalue import JsonObject, object_of, objects_of
from agentcore.training.openenv.specs import Status

# A pod that waits for one of these waits in vain, unless somebody changes something.
HOPELESS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
LOG_LINES = 5
LONGEST_REASON = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """``pod`` is empty where no pod could even be made; ``crashed``: its logs say more."""

    detail: str
    hopeless: bool
    pod: str = ""
    crashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """``ready`` replicas of any version serve; ``trouble`` is the worst there is."""

    wanted: int
    ready: int
    done: bool
    trouble: Trouble | None

    @property
    def status(self) -> Status:
        if self.ready >= self.wanted:
            return "running"
        if self.ready:
            return "degraded"
        return "failed" if self.trouble is not None and self.trouble.hopeless else "pending"

    @property
    def progress(self) -> str:
        return f"{self.ready} of {self.wanted} replicas are ready"


def read_rollout(deployment: JsonObject, pods: Sequence[JsonObject]) -> Rollout:
    spec, status = part(deployment, "spec"), part(deployment, "status")
    wanted = _number(spec, "replicas", 1)
    ready = _number(status, "readyReplicas")
    seen = _number(status, "observedGeneration") >= _number(
        part(deployment, "metadata"), "generation"
    )
    counted = (
        _number(status, name) for name in ("replicas", "updatedReplicas", "availableReplicas")
    )
    done = seen and ready == wanted and all(count == wanted for count in counted)
    return Rollout(
        wanted=wanted,
        ready=min(ready, wanted),
        done=done,
        trouble=None if done else worst([*_of_deployment(status), *_of_pods(pods)]),
    )


def worst(troubles: Iterable[Trouble]) -> Trouble | None:
    return max(troubles, key=lambda trouble: (trouble.hopeless, bool(trouble.pod)), default=None)


def _of_deployment(status: JsonObject) -> Iterable[Trouble]:
    for condition in parts(status, "conditions"):
        kind, reason = condition.get("type"), str(condition.get("reason", ""))
        message = str(condition.get("message", ""))
        if kind == "ReplicaFailure" and condition.get("status") == "True":
            yield Trouble(detail=f"{reason}: {message}", hopeless=True)
        if kind == "Progressing" and reason == "ProgressDeadlineExceeded":
            yield Trouble(detail=f"{reason}: {message}", hopeless=True)


def _of_pods(pods: Sequence[JsonObject]) -> Iterable[Trouble]:
    for pod in pods:
        metadata, status = part(pod, "metadata"), part(pod, "status")
        if "deletionTimestamp" in metadata:
            continue
        name = str(metadata.get("name", ""))
        for condition in parts(status, "conditions"):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                reason, message = condition.get("reason"), condition.get("message", "")
                # A cluster that grows by itself answers this with a node, after a while.
                yield Trouble(detail=f"{reason}: {message}", hopeless=False, pod=name)
        for container in parts(status, "containerStatuses"):
            yield from _of_container(name, container)


def _of_container(pod: str, status: JsonObject) -> Iterable[Trouble]:
    waiting = part(part(status, "state"), "waiting")
    ended = part(part(status, "lastState"), "terminated")
    if reason := str(waiting.get("reason", "")):
        how = f" (last: {_how(ended)})" if ended else ""
        yield Trouble(
            detail=f"{reason}: {waiting.get('message', '')}{how}".strip(": "),
            hopeless=reason in HOPELESS,
            pod=pod,
            crashed=bool(ended),
        )
    elif not status.get("ready") and ended:
        yield Trouble(
            detail=f"restarted after {_how(ended)}", hopeless=False, pod=pod, crashed=True
        )
    elif not status.get("ready"):
        yield Trouble(detail=f"{pod} does not answer GET /health yet", hopeless=False, pod=pod)


def _how(ended: JsonObject) -> str:
    return f"{ended.get('reason', 'an end')}, exit code {ended.get('exitCode')}"


def with_words(reason: str, log: str) -> str:
    """``reason``, and what the program itself said last."""
    said = " | ".join(line.strip() for line in log.splitlines() if line.strip())
    return (f"{reason}: {said}" if said else reason)[:LONGEST_REASON]


def part(value: JsonObject, name: str) -> JsonObject:
    return object_of(value.get(name))


def parts(value: JsonObject, name: str) -> list[JsonObject]:
    return objects_of(value.get(name))


def _number(value: JsonObject, name: str, default: int = 0) -> int:
    found = value.get(name)
    return found if isinstance(found, int) else default
