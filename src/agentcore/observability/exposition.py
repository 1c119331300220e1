"""Metrics as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response


def exposition(registry: CollectorRegistry, accept: str) -> Response:
    """All of ``registry`` in the best format that ``accept`` admits."""
    encode, content_type = choose_encoder(accept)
    return Response(encode(registry), headers={"content-type": content_type})
