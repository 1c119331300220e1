"""The SDK's models, loaded when somebody speaks the version: that takes a tenth of a second."""

from __future__ import annotations

import asyncio
from typing import Protocol

from agentcore.a2a_protocol.cards import Signer
from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonObject, JsonValue


class Wire(Protocol):
    """One version of the protocol, outside; inside everything is of 1.0."""

    def method(self, name: str) -> str | None:
        """The method of 1.0 that answers ``name``; None where the version has no such method."""
        ...

    def read(self, name: str, body: JsonObject) -> JsonObject:
        """The parameters of the JSON-RPC request ``body``; ``InvalidParams`` if they are none."""
        ...

    def write(self, method: str, result: JsonValue) -> JsonValue: ...

    def event(self, call_id: bytes, body: bytes) -> bytes:
        """The answer of a stream that carries the event ``body``; ``call_id`` as JSON."""
        ...


class PeerWire(Protocol):
    """One version of the protocol, as a client; inside everything is of 1.0."""

    @property
    def version(self) -> str: ...

    def request(self, method: str, params: JsonObject) -> tuple[str, JsonObject]:
        """The name and parameters of the method on that version's wire."""
        ...

    def result(self, method: str, result: JsonValue) -> JsonObject:
        """The result as a ``StreamResponse`` of 1.0; ``ValueError`` where it is none."""
        ...


class LateWires:
    """The first use loads what reads and writes a version, for either side."""

    def __init__(self) -> None:
        self._loading = asyncio.Lock()
        self._current: Wire | None = None
        self._previous: Wire | None = None

    async def current(self) -> Wire:
        if self._current is None:
            async with self._loading:
                self._current = await asyncio.to_thread(_load_current)
        return self._current

    async def previous(self) -> Wire:
        if self._previous is None:
            async with self._loading:
                self._previous = await asyncio.to_thread(_load_previous)
        return self._previous

    async def peer(self, version: str) -> PeerWire:
        """For asking agents that speak ``version``, which is 1.0 or 0.3."""
        async with self._loading:
            load = _load_previous_peer if version == "0.3" else _load_current_peer
            return await asyncio.to_thread(load)


def load_signer(pem: str) -> Signer:
    """Raises ``StartupError`` where the libraries are missing, or ``pem`` is no such key."""
    try:
        from agentcore.a2a_protocol.sdk.signing import EllipticSigner
    except ImportError as exc:
        raise _missing("AGENTCORE_A2A__SIGNING_KEY", exc) from exc
    return EllipticSigner(pem)


class Verifier(Protocol):
    def signed(self, card: JsonObject) -> JsonObject:
        """What of ``card`` is signed; ``ValueError`` where nothing is."""
        ...


def load_verifier(keys: str) -> Verifier:
    """Raises ``StartupError`` where the libraries are missing, or ``keys`` is no key set."""
    try:
        from agentcore.a2a_protocol.sdk.verifying import KeySetVerifier
    except ImportError as exc:
        raise _missing("the keys of a trusted origin (a2a.trusted)", exc) from exc
    return KeySetVerifier(keys)


def _missing(what: str, exc: ImportError) -> StartupError:
    return StartupError(
        f"{what} needs a library that is not there: {exc.name}",
        hint="pip install 'agentcore[signing]'",
    )


def _load_current() -> Wire:
    from agentcore.a2a_protocol.sdk.current import CurrentWire

    return CurrentWire()


def _load_previous() -> Wire:
    from agentcore.a2a_protocol.sdk.previous import PreviousWire

    return PreviousWire()


def _load_current_peer() -> PeerWire:
    from agentcore.a2a_protocol.sdk.current_peer import CurrentPeerWire

    return CurrentPeerWire()


def _load_previous_peer() -> PeerWire:
    from agentcore.a2a_protocol.sdk.previous_peer import PreviousPeerWire

    return PreviousPeerWire()
