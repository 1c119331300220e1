"""The whole application in this process, on the tests' own servers, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
from fastapi import FastAPI

from agentcore.app import create_app
from agentcore.kit.embedded import EmbeddedServers
from agentcore.settings import Settings, load_settings, token_authority
from tests.fakes.deployment import PATIENT


@dataclass(frozen=True, slots=True)
class Installation:
    app: FastAPI
    settings: Settings

    def client(
        self, *scopes: str, subject: str = "ann", tenant: str = "acme"
    ) -> httpx2.AsyncClient:
        """A caller with these scopes; without any, one without a token."""
        headers = {}
        if scopes:
            token = token_authority(self.settings).issue(
                subject=subject, tenant=tenant, scopes=scopes, lifetime=timedelta(hours=1)
            )
            headers["authorization"] = f"Bearer {token}"
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers, timeout=60
        )


@asynccontextmanager
async def installed(
    home: Path, database_url: str, servers: EmbeddedServers, **environ: str
) -> AsyncIterator[Installation]:
    settings = load_settings(
        environ={
            "AGENTCORE_HOME": str(home),
            "AGENTCORE_DATABASE_URL": database_url,
            "AGENTCORE_REDIS_URL": str(servers.redis_url),
            "AGENTCORE_CACHE__NAMESPACE": home.name,
            **PATIENT,
            **environ,
        }
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Installation(app, settings)
