from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.contracts.environment_runtimes.docker_harness import docker_harness
from tests.contracts.environment_runtimes.fake_harness import fake_harness
from tests.contracts.environment_runtimes.harness import Harness
from tests.contracts.environment_runtimes.kubernetes_harness import kubernetes_harness
from tests.contracts.environment_runtimes.local_harness import local_harness

HARNESSES: dict[str, Callable[[], AbstractAsyncContextManager[Harness]]] = {
    "fake": fake_harness,
    "local": local_harness,
    "docker": docker_harness,
    "kubernetes": kubernetes_harness,
}


@pytest.fixture(params=list(HARNESSES))
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with HARNESSES[request.param]() as opened:
        yield opened
