"""A2A calls as environment actions, and their outcomes as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentcore.a2a_protocol.models.jsonrpc import JsonRpcRequest, JsonRpcResponse
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.errors import ActionMappingError
from agentcore.training.openenv.models import Action, Observation, StepResult

if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient

# They describe the call, not the action; see docs/adr/0004-adapter-context-fields.md.
CONTEXT_FIELDS = ("trace_id", "source_agent", "target_agent", "session_id", "timestamp")
CONTEXT_MEMBER = "a2a_context"
# Methods of which a context field is also a parameter, and so reaches the action.
DECLARED_FIELDS = {"agent.delegate": frozenset({"target_agent"})}
STATE_CHANGED = "environment.state_changed"
CONTROL_METHODS = frozenset({"environment.reset", "environment.render", "environment.close"})


class A2AOpenEnvAdapter:
    """Translates between JSON-RPC and one environment; ``action_mappings`` is its vocabulary."""

    def __init__(self, env_client: OpenEnvClient) -> None:
        self.env_client = env_client
        self.action_mappings = _default_mappings()

    async def jsonrpc_to_action(self, request: JsonRpcRequest) -> Action:
        """The action that ``request`` asks for.

        ``task.execute`` names the action type in its member ``action``. Parameters are the members
        of ``params`` without the context fields, or the object ``parameters`` as it is.

        Raises:
            ActionMappingError: the method is unknown or controls the session, or its members
                do not make an action.
        """
        params: JsonObject = dict(request.params or {})
        kind = self._action_type(request.method, params)
        context = _context(params)
        metadata: JsonObject = {
            "a2a_request_id": request.id,
            "a2a_method": request.method,
            **{name: context.get(name) for name in ("trace_id", "source_agent", "session_id")},
            **context,
        }
        if "parameters" in params:
            parameters = _explicit(params, metadata)
        else:
            hidden = {CONTEXT_MEMBER, *CONTEXT_FIELDS}
            parameters = {name: value for name, value in params.items() if name not in hidden}
            declared = DECLARED_FIELDS.get(request.method, frozenset())
            parameters.update({name: context[name] for name in declared & context.keys()})
        return Action(type=kind, parameters=parameters, metadata=metadata)

    async def result_to_jsonrpc(
        self, result: StepResult, request_id: str | int | None
    ) -> JsonRpcResponse:
        outcome: JsonObject = {
            "observation": result.observation.state,
            "reward": result.reward,
            "terminated": result.terminated,
            "truncated": result.truncated,
            "info": result.info,
            "metadata": result.observation.metadata,
        }
        # Constructed, not validated: it comes from JSON, and may be large.
        return JsonRpcResponse.model_construct(id=request_id, result=outcome, error=None)

    async def observation_to_jsonrpc_notification(
        self, observation: Observation, event: JsonObject | None = None
    ) -> JsonRpcRequest:
        """What a watcher is told; ``event`` holds further parameters, such as its id and kind."""
        params: JsonObject = {"state": observation.state, "metadata": observation.metadata}
        if event is not None:
            params.update(event)
        # Not validated, for the same reason.
        return JsonRpcRequest.model_construct(method=STATE_CHANGED, params=params)

    def register_action_mapping(self, method: str, action_type: str) -> None:
        """Let ``method`` mean ``action_type`` from now on."""
        if method in CONTROL_METHODS:
            raise _control(method)
        self.action_mappings[method] = action_type

    def _action_type(self, method: str, params: JsonObject) -> str:
        """The action's type; ``action`` is taken out of the parameters of ``task.execute``."""
        if method in CONTROL_METHODS:
            raise _control(method)
        mapped = self.action_mappings.get(method)
        if mapped is None:
            known = ", ".join(sorted(self.action_mappings.keys() - CONTROL_METHODS))
            raise ActionMappingError(f"No mapping for method: {method}", hint=f"mapped: {known}")
        if method != "task.execute" or "action" not in params:
            return mapped
        named = params.pop("action")
        if not isinstance(named, str) or not named:
            raise ActionMappingError(
                "action must be the name of an action type",
                hint="give its parameters beside it, or in the member parameters",
            )
        return named


def _default_mappings() -> dict[str, str]:
    return {
        "task.execute": "execute_task",
        "task.cancel": "cancel_task",
        "task.query": "query_task",
        "agent.register": "register_agent",
        "agent.discover": "discover_agents",
        "agent.delegate": "delegate_task",
        "environment.reset": "reset",
        "environment.render": "render",
        "environment.close": "close",
    }


def _context(params: JsonObject) -> JsonObject:
    nested = params.get(CONTEXT_MEMBER) or {}
    if not isinstance(nested, dict):
        raise ActionMappingError(f"{CONTEXT_MEMBER} must be an object")
    given = {**nested, **params}
    return {name: given[name] for name in CONTEXT_FIELDS if given.get(name) is not None}


def _explicit(params: JsonObject, metadata: JsonObject) -> JsonObject:
    """``parameters`` whole; beside it only the context and the task's id are understood."""
    parameters = params["parameters"]
    if not isinstance(parameters, dict):
        raise ActionMappingError("parameters must be an object")
    beside = params.keys() - {"parameters", "task_id", CONTEXT_MEMBER, *CONTEXT_FIELDS}
    if beside:
        raise ActionMappingError(
            f"{min(beside)!r} stands beside the member parameters",
            hint="give all parameters of the action in one way: flat, or in parameters",
        )
    task_id: JsonValue = params.get("task_id")
    if task_id is not None:
        metadata["a2a_task_id"] = task_id
    return parameters


def _control(method: str) -> ActionMappingError:
    call = method.removeprefix("environment.")
    return ActionMappingError(
        f"{method} controls the session and is no action",
        hint=f"call OpenEnvClient.{call}(), or the JSON-RPC method {method} with a session_id",
    )
