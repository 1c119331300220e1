"""The methods by which callers set, read and take back the webhooks of their tasks."""

from __future__ import annotations

from dataclasses import dataclass

from agentcore.a2a_protocol.errors import InvalidParams, PushNotSupported, TaskNotFound
from agentcore.a2a_protocol.push.store import Push, PushStore
from agentcore.a2a_protocol.push.targets import check_url
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, object_of

MOST_CONFIGS = 20
LONGEST_SECRET = 8192
# How clients of 0.3 ask for the configuration that they have given no id.
UNNAMED = "default"
KEPT = ("url", "token", "authentication")


@dataclass(frozen=True, slots=True)
class Hearing:
    """The task of a configuration, and the event behind which its webhook begins to hear."""

    task_id: str
    after: int


class PushConfigs:
    """Callers have been let in to the task before: whose it is is not asked here."""

    def __init__(self, store: PushStore, clock: Clock, *, offered: bool, anywhere: bool) -> None:
        self._store = store
        self._clock = clock
        self._offered = offered
        self._anywhere = anywhere

    def check_offered(self) -> None:
        if not self._offered:
            raise PushNotSupported(
                "push notifications are not offered", hint="stream the task, or poll it"
            )

    def check(self, config: JsonObject) -> None:
        """Raises for a configuration that cannot be taken."""
        self.check_offered()
        url = config.get("url")
        if not isinstance(url, str) or not url:
            raise InvalidParams("a push notification configuration needs the member url")
        check_url(url, anywhere=self._anywhere)
        how = object_of(config.get("authentication"))
        for name, value in (("token", config.get("token")), *how.items()):
            text = "" if value is None else str(value)
            if len(text) > LONGEST_SECRET or any(ord(sign) < 32 for sign in text):
                raise InvalidParams(f"{name} is too long, or no value of an HTTP header")

    async def create(self, hearing: Hearing, config: JsonObject, family: str) -> JsonObject:
        self.check(config)
        known = await self._store.of(hearing.task_id)
        config_id = str(config.get("id") or hearing.task_id)
        if len(known) >= MOST_CONFIGS and all(push.config_id != config_id for push in known):
            raise InvalidParams(f"a task has at most {MOST_CONFIGS} webhooks")
        push = Push(
            task_id=hearing.task_id,
            config_id=config_id,
            family=family,
            body={name: config[name] for name in KEPT if config.get(name)},
            delivered=hearing.after,
            next_at=self._clock.now(),
        )
        await self._store.put(push)
        return _shown(push)

    async def get(self, task_id: str, config_id: str) -> JsonObject:
        kept = {push.config_id: push for push in await self._store.of(task_id)}
        # The one that was set without an id has the task's.
        found = kept.get(config_id) or (kept.get(task_id) if config_id == UNNAMED else None)
        if found is not None:
            return _shown(found)
        raise TaskNotFound(f"the task {task_id} has no webhook {config_id[:80]!r}")

    async def list(self, task_id: str) -> JsonObject:
        return {
            "configs": [_shown(push) for push in await self._store.of(task_id)],
            "nextPageToken": "",
        }

    async def delete(self, task_id: str, config_id: str) -> None:
        """Repeating it changes nothing."""
        await self._store.delete(task_id, config_id)


def _shown(push: Push) -> JsonObject:
    return {"taskId": push.task_id, "id": push.config_id, **push.body}
