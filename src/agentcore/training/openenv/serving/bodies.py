"""JSON bodies of the HTTP routes, in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agentcore.kit.errors import MalformedRequest, RequestTooLarge
from agentcore.kit.jsonvalue import JsonObject, dumps, loads
from agentcore.training.openenv.serving.hosting import InvalidRequest, fault

if TYPE_CHECKING:
    from starlette.requests import Request

JSON = "application/json"
LARGEST_BODY = 16 * 1024 * 1024


async def raw_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        RequestTooLarge: it has more than 16 MiB.
        MalformedRequest: the peer left before its end.
    """
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                raise RequestTooLarge(
                    f"the body has more than {LARGEST_BODY} bytes", hint="send less at once"
                )
    except ClientDisconnect as exc:
        raise MalformedRequest("the connection closed inside the request's body") from exc
    return bytes(data)


async def json_body(request: Request) -> JsonObject:
    """The body as an object, an empty one where there is none; raises ``InvalidRequest``."""
    try:
        body = loads(await raw_body(request) or b"{}")
    except ValueError as exc:
        raise InvalidRequest(fault("json_invalid", f"JSON decode error: {exc}")) from exc
    if not isinstance(body, dict):
        raise InvalidRequest(fault("model_attributes_type", "Input should be an object"))
    return body


def json_response(content: object, *, status: int = 200) -> Response:
    return Response(dumps(content), status, media_type=JSON)
