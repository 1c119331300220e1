"""All checks, and how they are run against one server."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import httpx2

from agentcore.kit.errors import RPC_INVALID_PARAMS, AgentCoreError
from agentcore.training.openenv.conformance import (
    checks_access,
    checks_episode,
    checks_frames,
    checks_http,
    checks_mcp,
    checks_pages,
    checks_slots,
)
from agentcore.training.openenv.conformance.judging import Check, NotApplicable, Violation
from agentcore.training.openenv.conformance.models import Outcome, Plan, Report, Result
from agentcore.training.openenv.conformance.subject import Subject
from agentcore.training.openenv.conformance.wire import NoServer, NoSession, WireFault
from agentcore.training.openenv.errors import (
    OpenEnvConnectionError,
    OpenEnvHTTPError,
    OpenEnvSpecError,
    SchemaNotSampleable,
)

# Those that take many sessions come last: a server that loses slots must not fail all others.
CHECKS: tuple[Check, ...] = (
    *checks_pages.CHECKS,
    *checks_episode.CHECKS,
    *checks_frames.CHECKS,
    *checks_http.CHECKS,
    *checks_access.CHECKS,
    *checks_mcp.CHECKS,
    *checks_slots.CHECKS,
)
PREFIX_HINT = "is the path prefix right, as in http://host:8001/envs/guess_number?"
Watch = Callable[[Check, Result | None], None]


class UnknownCheck(AgentCoreError):
    code, http_status, rpc_code, retryable = "unknown_check", 422, RPC_INVALID_PARAMS, False

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"no such check: {', '.join(names)}",
            hint=f"one of: {', '.join(check.id for check in CHECKS)}",
        )


def chosen(only: Sequence[str]) -> tuple[Check, ...]:
    """The checks with these ids, in their order; all where none is named."""
    unknown = sorted(set(only) - {check.id for check in CHECKS})
    if unknown:
        raise UnknownCheck(unknown)
    return tuple(check for check in CHECKS if not only or check.id in only)


async def run_checks(plan: Plan, checks: Sequence[Check], watch: Watch) -> Report:
    """Run them one after the other; ``watch`` is called before each and with each result.

    Raises:
        OpenEnvSpecError: the URL is none, or what answers is no OpenEnv server.
        OpenEnvHTTPError: the server wants other credentials.
        OpenEnvConnectionError: nobody answers there.
    """
    if not plan.url.startswith(("http://", "https://")):
        raise OpenEnvSpecError(f"{plan.url} is no http:// or https:// URL")
    try:
        httpx2.URL(plan.url)
    except httpx2.InvalidURL as exc:
        raise OpenEnvSpecError(f"{plan.url!r} is not a URL: {exc}") from exc
    began = time.perf_counter()
    verify = ssl.create_default_context() if plan.url.startswith("https:") else False
    async with httpx2.AsyncClient(
        timeout=plan.answer_seconds, verify=verify, trust_env=False
    ) as http:
        subject = Subject(plan, http)
        await _prepare(subject)
        results = []
        for check in checks:
            watch(check, None)
            left = plan.deadline_seconds - (time.perf_counter() - began)
            result = await _judged(check, subject, min(left, plan.check_seconds))
            watch(check, result)
            results.append(result)
    return Report(
        url=plan.url,
        environment=str(subject.metadata.get("name") or ""),
        version=str(subject.metadata.get("version") or ""),
        seed=plan.seed,
        results=tuple(results),
        seconds=time.perf_counter() - began,
    )


async def _prepare(subject: Subject) -> None:
    url = subject.plan.url
    try:
        async with asyncio.timeout(subject.plan.check_seconds):
            pages = [await subject.get(path) for path in ("/health", "/metadata", "/schema")]
            statuses = [page.status for page in pages]
            if {401, 403} & set(statuses[1:]):
                raise OpenEnvHTTPError(f"{url} refuses the token", hint="give one with --token")
            if not any(page.members for page in pages if page.status == 200):
                detail = f"{url} answers /health, /metadata and /schema with {statuses}"
                raise OpenEnvSpecError(detail, hint=f"no OpenEnv server: {PREFIX_HINT}")
            await subject.prepare()
    except WireFault as fault:
        raise OpenEnvConnectionError(
            f"{url} cannot be asked: {fault.came}", hint="is the server up, and the address right?"
        ) from fault
    except TimeoutError:
        subject.without_actions = f"nothing was ready within {subject.plan.check_seconds:g} s"


async def _judged(check: Check, subject: Subject, seconds: float) -> Result:
    began = time.perf_counter()
    # What went over the wire in this check alone is what reproduces its finding.
    lines = subject.new_transcript()
    found = _Verdict("pass")
    if seconds <= 0:
        found = _Verdict("skipped", reason="the time for all checks is over: --deadline")
    else:
        try:
            async with asyncio.timeout(seconds):
                await check.run(subject)
        except TimeoutError:
            found = _broken(check, f"an end within {seconds:.1f} s", "none")
        except (Violation, NotApplicable, WireFault, SchemaNotSampleable) as fault:
            found = _verdict(check, fault)
    return Result(
        id=check.id,
        title=check.title,
        section=check.section,
        severity=check.severity,
        outcome=found.outcome,
        expected=found.expected,
        got=_text(found.got),
        reason=_text(found.reason),
        reproduce=lines() if found.outcome in {"fail", "warn"} else (),
        seconds=time.perf_counter() - began,
    )


class _Verdict(NamedTuple):
    outcome: Outcome
    expected: str = ""
    got: str = ""
    reason: str = ""


def _text(said: str) -> str:
    """A server's words may hold what is no text, and no report could be written with it."""
    return said.encode(errors="backslashreplace").decode()


def _verdict(check: Check, fault: Exception) -> _Verdict:
    if isinstance(fault, Violation):
        return _broken(check, fault.expected, fault.got)
    if isinstance(fault, NoSession):
        return _Verdict("skipped", reason=f"no session could be opened ({fault})")
    if isinstance(fault, NoServer):
        return _broken(check, "a server that stays up", fault.came)
    if isinstance(fault, WireFault):
        return _broken(check, "an answer as the protocol has it", fault.came)
    return _Verdict("skipped", reason=str(fault))


def _broken(check: Check, expected: str, got: str) -> _Verdict:
    return _Verdict("warn" if check.severity == "should" else "fail", expected, got)
