"""Whether an environment can be played, not only whether its server answers.

A server is green on /health while its factory fails for everybody: only a session tells.
"""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.conformance.wire import (
    NoServer,
    NoSession,
    Talk,
    Transcript,
    WireFault,
    admitted,
    refusal_of,
    shortened,
    socket_url,
)
from agentcore.training.openenv.connection import CHECK_TOKEN, NOT_OPENENV, check_writable
from agentcore.training.openenv.describing import bearer, describe
from agentcore.training.openenv.encoding import ActionEncoder, decode_step
from agentcore.training.openenv.errors import WRONG_ANSWERS, OpenEnvError, SchemaNotSampleable
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.openenv.sampling import sample_action

Stage = Literal["pages", "session", "reset", "step"]
SEED = 0
ITS_LOG = "its words are the server's; the server's log may say more"
BUSY_OR_HANGS = "the server is busy or hangs: look at its log"


class DeepHealth(BaseModel):
    """How far one short episode came.

    ``healthy``: reset and one sampled step were answered. ``degraded``: reset works, and the step
    was refused or could not be made from the schema. ``busy``: every session is taken. ``failed``:
    nobody can play. ``stage`` is the last one tried, ``code`` what the server or we call the fault,
    ``hint`` what can be done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    status: Literal["healthy", "degraded", "busy", "failed"]
    stage: Stage
    code: str | None = None
    detail: str = ""
    hint: str = ""
    info: EnvironmentInfo | None = None
    reset_seconds: float | None = None
    step_seconds: float | None = None
    seconds: float


async def deep_health(url: str, *, token: str | None = None, seconds: float = 10.0) -> DeepHealth:
    """Describe, open a session, reset, step once, leave; never raises for what a server does.

    ``seconds`` is the time for all of it.
    """
    visit = _Visit(url.rstrip("/"), token, seconds)
    try:
        async with asyncio.timeout(seconds):
            await visit.pay()
    except TimeoutError:
        late = f"the {visit.stage} took longer than {seconds:g} s"
        visit.fail("deep_health_timeout", late, BUSY_OR_HANGS)
    except OpenEnvError as error:
        visit.fail(error.code, error.detail, error.hint)
    except NoSession as refused:
        visit.fail(refused.code, refused.detail, _hint(refused.code))
        if refused.code == "CAPACITY_REACHED":
            visit.status = "busy"
    except NoServer as nobody:
        visit.fail("openenv_unreachable", nobody.came, NOT_OPENENV)
    except WireFault as fault:
        came = f"instead of an answer to {visit.stage}: {fault.came}"
        visit.fail("openenv_spec_error", came, WRONG_ANSWERS)
    except RecursionError:
        endless = f"the {visit.stage} has no end: it leads back to itself"
        visit.fail("openenv_spec_error", endless, WRONG_ANSWERS)
    return visit.result()


class _Visit:
    def __init__(self, url: str, token: str | None, seconds: float) -> None:
        self._url = url
        self._headers = bearer(token)
        # The time for all of it runs out first: it names the stage.
        self._patience = seconds + 1
        self._began = time.perf_counter()
        self._took: dict[str, float] = {}
        self._info: EnvironmentInfo | None = None
        self._fault: tuple[str | None, str, str] = (None, "", "")
        self.stage: Stage = "pages"
        self.status: Literal["healthy", "degraded", "busy", "failed"] = "healthy"

    async def pay(self) -> None:
        self._info = await describe(self._url, headers=self._headers, seconds=self._patience)
        self.stage = "session"
        async with admitted(
            socket_url(self._url),
            headers=self._headers,
            seconds=self._patience,
            transcript=Transcript(),
        ) as talk:
            self.stage = "reset"
            await self._observe(talk, {"seed": SEED})
            if self.status != "healthy":
                self.status = "failed"
                return
            self.stage = "step"
            await self._step(talk, self._info)
            await talk.send('{"type":"close"}')

    async def _step(self, talk: Talk, info: EnvironmentInfo) -> None:
        try:
            action = ActionEncoder(info.action_space).encode(sample_action(info, Random(SEED)))
        except SchemaNotSampleable as error:
            self.fail(error.code, error.detail, error.hint)
            self.status = "degraded"
        else:
            await self._observe(talk, action)

    async def _observe(self, talk: Talk, data: JsonObject) -> None:
        started = time.perf_counter()
        answer = await talk.ask(self.stage, data)
        self._took[self.stage] = time.perf_counter() - started
        check_writable(answer, f"an answer to {self.stage}")
        refused = refusal_of(answer)
        if refused is not None:
            self.fail(str(refused.get("code")), str(refused.get("message")), ITS_LOG)
            self.status = "degraded"
            return
        content = answer.get("data")
        if answer.get("type") != "observation" or not isinstance(content, dict):
            raise WireFault(shortened(answer))
        # As a client reads it: what is no observation to it is none.
        decode_step(content)

    def fail(self, code: str | None, detail: str, hint: str) -> None:
        self.status = "failed"
        # A server's words may hold what is no text.
        self._fault = (code, detail.encode(errors="backslashreplace").decode(), hint)

    def result(self) -> DeepHealth:
        code, detail, hint = self._fault
        return DeepHealth(
            url=self._url,
            status=self.status,
            stage=self.stage,
            code=code,
            detail=detail,
            hint=hint,
            info=self._info,
            reset_seconds=self._took.get("reset"),
            step_seconds=self._took.get("step"),
            seconds=time.perf_counter() - self._began,
        )


def _hint(code: str) -> str:
    """For whom a server does not let in: the status of its handshake, or its own word."""
    if code in {"HTTP 401", "HTTP 403"}:
        return CHECK_TOKEN
    return NOT_OPENENV if code.startswith("HTTP ") else ITS_LOG
