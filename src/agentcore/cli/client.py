"""Talking to a running service from the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agentcore.kit.errors import InvalidInput, Unavailable
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of

if TYPE_CHECKING:
    import httpx2

TIMEOUT = 30.0
PAGE = 200


class ServiceClient:
    """Control traffic to one service; errors come back as one line."""

    def __init__(self, http: httpx2.Client, url: str) -> None:
        self._http = http
        self._url = url

    def get(self, path: str, **params: str | int) -> JsonObject:
        return self._request("GET", path, params=params)

    def post(self, path: str, body: JsonObject) -> JsonObject:
        return self._request("POST", path, body=body)

    def pages(self, path: str, limit: int, *, key: str = "items", most: int = PAGE) -> JsonObject:
        """``limit`` items of a list, however many pages that takes, under ``key``.

        ``next_cursor`` where there are more; ``most`` is the largest page that may be asked for.
        """

        def page(size: int, cursor: str | None) -> JsonObject:
            asked: dict[str, str | int] = {"limit": size}
            if cursor is not None:
                asked["cursor"] = cursor
            return self.get(path, **asked)

        return gathered(page, limit, key=key, most=most)

    def put(self, path: str, body: JsonObject) -> JsonObject:
        return self._request("PUT", path, body=body)

    def delete(self, path: str) -> JsonObject:
        return self._request("DELETE", path)

    def rpc(self, method: str, params: JsonObject) -> JsonObject:
        """One dotted JSON-RPC call; raises ``InvalidInput`` in the service's words on error."""
        answer = self.post("/a2a", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if isinstance(error := answer.get("error"), dict):
            data = error.get("data")
            raise refusal(str(error.get("message")), data if isinstance(data, dict) else {})
        result = answer.get("result")
        return result if isinstance(result, dict) else {"result": result}

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str | int] | None = None,
        body: JsonObject | None = None,
    ) -> JsonObject:
        import httpx2

        try:
            response = self._http.request(method, self._url + path, params=params, json=body)
        except httpx2.InvalidURL as exc:
            raise InvalidInput(f"{self._url!r} is not a URL: {exc}") from exc
        except httpx2.TransportError as exc:
            raise Unavailable(
                f"no AgentCore answers at {self._url}: {exc}",
                hint="start one (agentcore serve) or name it: --url http://host:port",
            ) from exc
        content = _content(response)
        if response.status_code >= 400:
            error = content.get("error")
            said = error.get("message") if isinstance(error, dict) else content.get("detail")
            raise refusal(str(said or response.text[:200]), content)
        return content


def connect(
    url: str | None, token: str | None, config: Path | None, *, seconds: float = TIMEOUT
) -> ServiceClient:
    """A client for ``url`` (the configured service by default) with a token of its own making."""
    import httpx2

    from agentcore.cli.config import command_settings
    from agentcore.settings import token_authority

    settings = command_settings(config)
    address = url or settings.server.own_url
    bearer = token or token_authority(settings).issue(
        subject="cli", tenant="default", scopes=["admin"], lifetime=timedelta(hours=1)
    )
    # Commands end without closing their client: no connection may outlive its request.
    headers = {"authorization": f"Bearer {bearer}", "connection": "close"}
    return ServiceClient(httpx2.Client(headers=headers, timeout=seconds), address.rstrip("/"))


def gathered(
    page: Callable[[int, str | None], JsonObject], limit: int, *, key: str, most: int
) -> JsonObject:
    """``limit`` items under ``key``, from as many pages as that takes; ``next_cursor`` at the end.

    ``page`` asks for so many items behind a cursor.
    """
    items: list[JsonValue] = []
    cursor: JsonValue = None
    while len(items) < limit:
        found = page(min(most, limit - len(items)), None if cursor is None else str(cursor))
        more = objects_of(found.get(key))
        items += more
        cursor = found.get("next_cursor")
        if cursor is None or not more:
            break
    return {key: items, "next_cursor": cursor}


def refusal(detail: str, told: JsonObject) -> InvalidInput:
    """What a problem document says, for the command line."""
    hint = told.get("hint")
    return InvalidInput(detail, hint=hint if isinstance(hint, str) else "")


def _content(response: httpx2.Response) -> JsonObject:
    try:
        value: JsonValue = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {"items": value}
