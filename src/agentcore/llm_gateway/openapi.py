"""What ``/openapi.json`` says about ``/v1``: its routes are plain ASGI, so it is written down."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue

_REQUEST: JsonObject = {
    "model": "qwen3-8b",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 64,
}
_ANSWER: JsonObject = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "Qwen/Qwen3-8B",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
}
_EVENTS = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":'
    '[{"index":0,"delta":{"content":"Hello!"},"finish_reason":null}]}\n\n'
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":'
    '[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
_RESPONSES_REQUEST: JsonObject = {
    "model": "qwen3-8b",
    "instructions": "Be brief.",
    "input": "Say hello.",
    "max_output_tokens": 64,
}
_RESPONSE: JsonObject = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1767225600,
    "status": "completed",
    "model": "Qwen/Qwen3-8B",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello!", "annotations": []}],
        }
    ],
    "store": False,
    "usage": {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14},
}
_RESPONSE_EVENTS = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    '"sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello!",'
    '"logprobs":[]}\n\n'
    'event: response.completed\ndata: {"type":"response.completed","sequence_number":8,'
    '"response":{"id":"resp_1","object":"response","status":"completed"}}\n\n'
)
_MESSAGE: JsonObject = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "Qwen/Qwen3-8B",
    "content": [{"type": "text", "text": "Hello!"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 3},
}
_MESSAGE_EVENTS = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Hello!"}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
_EMBEDDINGS_REQUEST: JsonObject = {"model": "bge-m3", "input": ["one text", "another"]}
_EMBEDDINGS: JsonObject = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.12, -0.5]},
        {"object": "embedding", "index": 1, "embedding": [0.3, 0.25]},
    ],
    "model": "BAAI/bge-m3",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
_MODELS: JsonObject = {
    "object": "list",
    "data": [{"id": "qwen3-8b", "object": "model", "created": 0, "owned_by": "cluster"}],
}
_EXPLANATION: JsonObject = {
    "model": "qwen3-8b",
    "private": False,
    "priority": "medium",
    "provider": "cluster",
    "reason": "cost_optimization",
    "candidates": ["cluster", "openai"],
    "exclusions": {"gemini": "does not serve the model"},
    "providers": [{"provider": "cluster", "expected_cost_usd": 0.0, "load": 0.25}],
}


# What may be refused, or fail, wherever a provider is asked.
_REFUSALS = (400, 401, 402, 403, 404, 413, 429, 502, 503, 504)


def openapi_paths() -> JsonObject:
    """The members of ``paths`` to merge into the application's document."""
    return {
        "/v1/chat/completions": {"post": _chat()},
        "/v1/embeddings": {"post": _embeddings()},
        "/v1/responses": {"post": _responses()},
        "/v1/messages": {"post": _messages()},
        "/v1/route:explain": {"post": _explanation()},
        "/v1/models": {
            "get": {
                "tags": ["gateway"],
                "summary": "Served models",
                "operationId": "list_models",
                "responses": {"200": _json("The models somebody serves", _MODELS), **_errors(401)},
            }
        },
        "/v1/models/{model}": {
            "get": {
                "tags": ["gateway"],
                "summary": "One served model",
                "operationId": "retrieve_model",
                "parameters": [
                    {
                        "name": "model",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {
                    "200": _json(
                        "It is served",
                        {"id": "qwen3-8b", "object": "model", "created": 0, "owned_by": "cluster"},
                    ),
                    **_errors(401, 404),
                },
            }
        },
    }


def _chat() -> JsonObject:
    return {
        "tags": ["gateway"],
        "summary": "Chat completion, OpenAI-compatible",
        "description": "Routed to own hardware first, to an API provider when that is full. "
        "Members not named here reach the provider unchanged. With `stream: true` the answer is "
        "a stream of server-sent events; one that fails after its begin ends with an event "
        "`error` and without `[DONE]`.",
        "operationId": "create_chat_completion",
        **_asked(_schema(), _REQUEST),
        "responses": {"200": _streamed(_ANSWER, _EVENTS), **_errors(*_REFUSALS)},
    }


def _embeddings() -> JsonObject:
    told = _json("A vector for each input, in their order", _EMBEDDINGS)
    return {
        "tags": ["gateway"],
        "summary": "Embeddings, OpenAI-compatible",
        "description": "Members not named here reach the provider unchanged.",
        "operationId": "create_embedding",
        **_asked(_object("model", "input"), _EMBEDDINGS_REQUEST),
        "responses": {"200": {"headers": _answer_headers(), **told}, **_errors(*_REFUSALS)},
    }


def _responses() -> JsonObject:
    return {
        "tags": ["gateway"],
        "summary": "Response, OpenAI-compatible",
        "description": "Reaches OpenAI as it is; other providers are asked by chat completions, "
        "and what these cannot express is refused. No response is kept: `store`, "
        "`previous_response_id`, `conversation` and `background` are not to be had. A stream that "
        "fails after its begin ends with an event `error` and without `response.completed`.",
        "operationId": "create_response",
        **_asked(_object("model", "input"), _RESPONSES_REQUEST),
        "responses": {"200": _streamed(_RESPONSE, _RESPONSE_EVENTS), **_errors(*_REFUSALS)},
    }


def _messages() -> JsonObject:
    error: JsonObject = {
        "type": "error",
        "error": {
            "type": "not_found_error",
            "message": "no provider serves the model 'gpt-9'",
            "details": {"error_code": "model_not_found"},
        },
    }
    return {
        "tags": ["gateway"],
        "summary": "Message, Anthropic-compatible",
        "description": "Reaches Anthropic as it is; other providers are asked by chat completions, "
        "and what these cannot express is refused. A stream that fails after its begin ends with "
        "an event `error` and without `message_stop`.",
        "operationId": "create_message",
        **_asked(_object("model", "max_tokens", "messages"), _REQUEST),
        "responses": {
            "200": _streamed(_MESSAGE, _MESSAGE_EVENTS),
            **{str(status): _json("Anthropic-shaped error", error) for status in _REFUSALS},
        },
    }


def _explanation() -> JsonObject:
    return {
        "tags": ["gateway"],
        "summary": "Where a chat completion would go, and why; nothing is sent",
        "operationId": "explain_route",
        **_asked(_schema(), _REQUEST),
        "responses": {
            "200": _json("The decision", _EXPLANATION),
            **_errors(400, 401, 403, 404, 429, 503),
        },
    }


def _asked(schema: JsonObject, example: JsonObject) -> JsonObject:
    content: JsonObject = {"application/json": {"schema": schema, "example": example}}
    return {"parameters": _headers(), "requestBody": {"required": True, "content": content}}


def _streamed(whole: JsonObject, events: str) -> JsonObject:
    """An answer that the caller may have whole or as events."""
    return {
        "description": "The answer of the provider named in x-agentcore-provider",
        "headers": _answer_headers(),
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": whole},
            "text/event-stream": {"schema": {"type": "string"}, "example": events},
        },
    }


def _object(*required: str) -> JsonObject:
    return {"type": "object", "required": list(required), "additionalProperties": True}


def _schema() -> JsonObject:
    return {
        "type": "object",
        "required": ["model", "messages"],
        "additionalProperties": True,
        "properties": {
            "model": {"type": "string", "description": "A model of GET /v1/models"},
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "stream": {"type": "boolean", "default": False},
            "max_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "provider": {
                "type": "object",
                "description": "Who may answer: OpenRouter's provider object (order, only, ignore, "
                "allow_fallbacks, data_collection, zdr, quantizations, sort, max_price, ...)",
            },
            "metadata": {
                "type": "object",
                "description": "agentcore_private: true keeps the request on private providers",
            },
        },
    }


def _headers() -> list[JsonValue]:
    told = (
        ("x-agentcore-private", "boolean", "Only providers marked private may see the request"),
        ("x-agentcore-priority", "string", "high, medium or low"),
        ("x-agentcore-timeout", "number", "Seconds after which the answer is of no use"),
        ("x-agentcore-region", "string", "Only providers of these regions, separated by commas"),
    )
    return [
        {"name": name, "in": "header", "schema": {"type": kind}, "description": text}
        for name, kind, text in told
    ]


def _answer_headers() -> JsonObject:
    told = {
        "x-agentcore-provider": "Who answered",
        "x-agentcore-reason": "Why it was chosen",
        "x-agentcore-request-id": "The call's id on the ledger",
        "x-agentcore-cost-usd": "Its cost; absent for streams and where no price is known",
    }
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()
    }


def _errors(*statuses: int) -> JsonObject:
    example: JsonObject = {
        "error": {
            "message": "no provider serves the model 'gpt-9'",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    return {str(status): _json("OpenAI-shaped error", example) for status in statuses}


def _json(description: str, example: JsonObject) -> JsonObject:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
    }
