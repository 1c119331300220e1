from __future__ import annotations

from typing import Any

import pytest

from agentcore.a2a_protocol.models.jsonrpc import JsonRpcRequest
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.adapters import A2AOpenEnvAdapter
from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.errors import ActionMappingError
from agentcore.training.openenv.models import Observation, StepResult

CONTEXT: dict[str, Any] = {
    "trace_id": "t-1",
    "source_agent": "router",
    "target_agent": "billing",
    "session_id": "s-1",
    "timestamp": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def adapter() -> A2AOpenEnvAdapter:
    return A2AOpenEnvAdapter(OpenEnvClient("http://127.0.0.1:9"))


def request(method: str, params: JsonObject | None = None) -> JsonRpcRequest:
    return JsonRpcRequest(method=method, params=params, id=7)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("task.execute", "execute_task"),
        ("task.cancel", "cancel_task"),
        ("task.query", "query_task"),
        ("agent.register", "register_agent"),
        ("agent.discover", "discover_agents"),
        ("agent.delegate", "delegate_task"),
    ],
)
async def test_methods_are_mapped_as_specified(
    method: str, kind: str, adapter: A2AOpenEnvAdapter
) -> None:
    action = await adapter.jsonrpc_to_action(request(method, {"task_id": "1"}))
    assert (action.type, action.parameters) == (kind, {"task_id": "1"})


async def test_execute_names_the_action(adapter: A2AOpenEnvAdapter) -> None:
    params: JsonObject = {"task_id": "123", "action": "route_ticket", "queue": "billing"}
    action = await adapter.jsonrpc_to_action(request("task.execute", params))
    assert action.type == "route_ticket"
    assert action.parameters == {"task_id": "123", "queue": "billing"}
    assert params["action"] == "route_ticket", "the caller's request was changed"


async def test_context_goes_into_the_metadata(adapter: A2AOpenEnvAdapter) -> None:
    params: JsonObject = {"action": "route", "queue": "x", **CONTEXT}
    action = await adapter.jsonrpc_to_action(request("task.execute", params))
    assert action.parameters == {"queue": "x"}
    assert action.metadata == {"a2a_request_id": 7, "a2a_method": "task.execute", **CONTEXT}


async def test_context_may_be_nested(adapter: A2AOpenEnvAdapter) -> None:
    params: JsonObject = {
        "action": "route",
        "a2a_context": {"trace_id": "nested", "source_agent": "s", "unknown": 1},
        "trace_id": "outer",
    }
    action = await adapter.jsonrpc_to_action(request("task.execute", params))
    assert action.parameters == {}
    assert action.metadata["trace_id"] == "outer"
    assert action.metadata["source_agent"] == "s"
    assert "unknown" not in action.metadata


async def test_what_nobody_said_is_null(adapter: A2AOpenEnvAdapter) -> None:
    action = await adapter.jsonrpc_to_action(request("task.query"))
    assert action.metadata == {
        "a2a_request_id": 7,
        "a2a_method": "task.query",
        "trace_id": None,
        "source_agent": None,
        "session_id": None,
    }


async def test_the_target_of_a_delegation_reaches_the_action(adapter: A2AOpenEnvAdapter) -> None:
    params: JsonObject = {"task_id": "1", "message": {}, **CONTEXT}
    action = await adapter.jsonrpc_to_action(request("agent.delegate", params))
    assert action.parameters == {"task_id": "1", "message": {}, "target_agent": "billing"}
    nested: JsonObject = {"task_id": "1", "a2a_context": {"target_agent": "billing"}}
    action = await adapter.jsonrpc_to_action(request("agent.delegate", nested))
    assert action.parameters == {"task_id": "1", "target_agent": "billing"}


async def test_explicit_parameters_pass_whole(adapter: A2AOpenEnvAdapter) -> None:
    parameters: JsonObject = {"target_agent": "agent-1", "action": "x", "session_id": "theirs"}
    params: JsonObject = {
        "action": "assign",
        "parameters": parameters,
        "task_id": "123",
        "trace_id": "t",
    }
    action = await adapter.jsonrpc_to_action(request("task.execute", params))
    assert (action.type, action.parameters) == ("assign", parameters)
    assert action.metadata["a2a_task_id"] == "123"


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"action": ""}, "action"),
        ({"action": {"type": "x"}}, "action"),
        ({"action": "x", "parameters": [1]}, "parameters"),
        ({"action": "x", "parameters": {}, "queue": "billing"}, "'queue'"),
        ({"action": "x", "a2a_context": "t"}, "a2a_context"),
    ],
)
async def test_what_makes_no_action_is_refused(
    params: JsonObject, why: str, adapter: A2AOpenEnvAdapter
) -> None:
    with pytest.raises(ActionMappingError, match=why):
        await adapter.jsonrpc_to_action(request("task.execute", params))


@pytest.mark.parametrize("method", ["environment.reset", "environment.render", "environment.close"])
async def test_control_calls_are_no_actions(method: str, adapter: A2AOpenEnvAdapter) -> None:
    assert method in adapter.action_mappings
    with pytest.raises(ActionMappingError, match="controls the session") as caught:
        await adapter.jsonrpc_to_action(request(method))
    assert method in caught.value.hint
    with pytest.raises(ActionMappingError):
        adapter.register_action_mapping(method, "reset")


async def test_unknown_methods_name_the_known(adapter: A2AOpenEnvAdapter) -> None:
    with pytest.raises(ActionMappingError, match="No mapping for method: ticket") as caught:
        await adapter.jsonrpc_to_action(request("ticket.route"))
    assert "task.execute" in caught.value.hint
    assert "environment.reset" not in caught.value.hint


async def test_mappings_can_be_added_to_one_adapter(adapter: A2AOpenEnvAdapter) -> None:
    adapter.register_action_mapping("ticket.route", "route_ticket")
    action = await adapter.jsonrpc_to_action(request("ticket.route", {"action": "kept"}))
    assert (action.type, action.parameters) == ("route_ticket", {"action": "kept"})
    other = A2AOpenEnvAdapter(adapter.env_client)
    assert "ticket.route" not in other.action_mappings


async def test_results_become_responses(adapter: A2AOpenEnvAdapter) -> None:
    result = StepResult(
        observation=Observation(state={"a": 1}, metadata={"m": 2}),
        reward=1.5,
        terminated=True,
        truncated=False,
        info={"i": 3},
    )
    response = await adapter.result_to_jsonrpc(result, "r-1")
    assert response.model_dump() == {
        "jsonrpc": "2.0",
        "id": "r-1",
        "result": {
            "observation": {"a": 1},
            "reward": 1.5,
            "terminated": True,
            "truncated": False,
            "info": {"i": 3},
            "metadata": {"m": 2},
        },
    }


async def test_observations_become_notifications(adapter: A2AOpenEnvAdapter) -> None:
    shown = Observation(state={"a": 1}, metadata={"m": 2})
    notification = await adapter.observation_to_jsonrpc_notification(shown)
    assert notification.method == "environment.state_changed"
    assert notification.params == {"state": {"a": 1}, "metadata": {"m": 2}}
    assert notification.id is None
    assert "id" not in notification.model_dump(), "a notification has no id, not even null"


async def test_what_happened_goes_with_the_observation(adapter: A2AOpenEnvAdapter) -> None:
    event: JsonObject = {"event_id": "e-1", "kind": "step", "reward": 0.5}
    told = await adapter.observation_to_jsonrpc_notification(Observation(state={"a": 1}), event)
    assert told.params == {"state": {"a": 1}, "metadata": {}, **event}
