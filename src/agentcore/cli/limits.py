"""``agentcore keys``, ``budgets`` and ``rates``: who may use how much of the models.

They work on the database itself, with or without a running service; a running one notices within
seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from agentcore.cli.config import ConfigFile, command_settings
from agentcore.cli.tables import show_table
from agentcore.cli.tokens import Scopes, Subject, Tenant
from agentcore.kit.errors import InvalidInput

if TYPE_CHECKING:
    from agentcore.kit.jsonvalue import JsonObject
    from agentcore.llm_gateway.administration.limits import Limits
    from agentcore.llm_gateway.administration.models import KeyTerms
    from agentcore.llm_gateway.terms import ApiKey

T = TypeVar("T")
PAGE = 500
keys = typer.Typer(help="API keys: long-lived, revocable, hashed at rest.", no_args_is_help=True)
budgets = typer.Typer(help="What tenants, keys and agents may spend.", no_args_is_help=True)
rates = typer.Typer(help="What a tenant's callers may use in a minute.", no_args_is_help=True)
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="A glob of models it may use; may be repeated. None: all."),
]
Requests = Annotated[
    int | None, typer.Option("--requests", min=1, help="Requests a minute. None: no limit.")
]
Tokens = Annotated[
    int | None, typer.Option("--tokens", min=1, help="Tokens a minute. None: no limit.")
]
Priority = Annotated[str, typer.Option(help="The highest its calls may have: high, medium, low.")]
Days = Annotated[float | None, typer.Option(min=0.001, max=36_500, help="Expires in so many days.")]
Usd = Annotated[str | None, typer.Option("--budget", help="USD it may spend in a period.")]
Period = Annotated[str, typer.Option("--period", help="What for: day, month or total.")]
Soft = Annotated[bool, typer.Option("--soft", help="Only tell when it is used up.")]


@keys.command("create")
def create_key(
    subject: Subject,
    scope: Scopes,
    tenant: Tenant = "default",
    private: Annotated[
        bool, typer.Option(help="Its requests may only reach private providers.")
    ] = False,
    model: Models = None,
    requests: Requests = None,
    tokens: Tokens = None,
    priority: Priority = "high",
    days: Days = None,
    budget: Usd = None,
    period: Period = "month",
    config: ConfigFile = None,
) -> None:
    """Make an API key; it is shown once and only its hash is kept."""
    from agentcore.llm_gateway.administration.models import KeyDraft

    terms = _terms(model, requests, tokens, priority, days)
    money = None if budget is None else {"limit_usd": _usd(budget), "period": period}
    draft = _valid(
        KeyDraft,
        {
            **terms.model_dump(),
            "subject": subject,
            "scopes": scope,
            "private": private,
            "budget": money,
        },
    )

    async def once(limits: Limits) -> str:
        _, plaintext = await limits.make_key(draft, tenant=tenant)
        return plaintext

    typer.echo(_run(config, once))


@keys.command("change")
def change_key(
    key_id: str,
    tenant: Tenant = "default",
    model: Models = None,
    requests: Requests = None,
    tokens: Tokens = None,
    priority: Priority = "high",
    days: Days = None,
    config: ConfigFile = None,
) -> None:
    """Replace what a key's calls may do: what is not given has no limit any more."""
    terms = _terms(model, requests, tokens, priority, days)

    async def once(limits: Limits) -> ApiKey:
        return await limits.change_key(key_id, terms, tenant=tenant)

    typer.echo(f"changed {_run(config, once).key_id}")


@keys.command("list")
def list_keys(tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """List keys, without what is secret."""

    async def once(limits: Limits) -> list[ApiKey]:
        found: list[ApiKey] = []
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = await limits.keys.page(tenant, limit=PAGE, cursor=cursor)
            found += page
        return found

    columns = ("key", "subject", "tenant", "scopes", "limits", "created", "expires", "revoked")
    show_table([_key_row(key) for key in _run(config, once)], columns)


@keys.command("revoke")
def revoke_key(key_id: str, tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """Revoke a key by its id; every replica refuses it within seconds."""

    async def once(limits: Limits) -> None:
        await limits.keys.revoke(key_id, tenant=tenant)

    _run(config, once)
    typer.echo(f"revoked {key_id}")


@budgets.command("set")
def set_budget(
    limit: Annotated[str, typer.Argument(help="USD that may be spent in a period.")],
    tenant: Tenant = "default",
    key: Annotated[str | None, typer.Option(help="Of one key, by its id.")] = None,
    agent: Annotated[str | None, typer.Option(help="Of one agent, by its name.")] = None,
    period: Period = "month",
    soft: Soft = False,
    alert: Annotated[str, typer.Option(help="Tell when this share is spent; 0: never.")] = "0.8",
    config: ConfigFile = None,
) -> None:
    """Set a tenant's budget, a key's or an agent's; an existing one keeps what was spent."""
    from agentcore.llm_gateway.budgets.models import BudgetTerms

    if key is not None and agent is not None:
        raise InvalidInput("a budget is of a key or of an agent", hint="give --key or --agent")
    if "" in (key, agent):
        # A variable that was never set must not bound the whole tenant.
        raise InvalidInput("the key or agent has no name", hint="without one it is the tenant's")
    share = _usd(alert)
    terms = _valid(
        BudgetTerms,
        {
            "scope": "key" if key else "agent" if agent else "tenant",
            "target": key or agent or "",
            "period": period,
            "limit_usd": _usd(limit),
            "hard": not soft,
            "alert_share": share or None,
        },
    )

    async def once(limits: Limits) -> UUID:
        return await limits.set_budget(terms, tenant=tenant)

    typer.echo(_run(config, once))


@budgets.command("list")
def list_budgets(tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """List budgets, and what is spent of them."""

    async def once(limits: Limits) -> list[JsonObject]:
        found: list[JsonObject] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await limits.budget_page(tenant=tenant, limit=PAGE, cursor=cursor)
            cursor = page.next_cursor
            found += [
                {
                    "budget": str(each.id),
                    "of": f"{each.scope} {each.target}".strip(),
                    "period": each.period,
                    "limit": _shown(each.limit_usd) + ("" if each.hard else " (soft)"),
                    "spent": _shown(each.spent_usd),
                    "held": _shown(each.held_usd),
                    "lost": _shown(each.lost_usd),
                    "resets": f"{each.resets_at:%Y-%m-%d}" if each.resets_at else "",
                }
                for each in page.budgets
            ]
        return found

    columns = ("budget", "of", "period", "limit", "spent", "held", "lost", "resets")
    show_table(_run(config, once), columns)


@budgets.command("delete")
def delete_budget(budget: UUID, tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """Delete a budget by its id."""

    async def once(limits: Limits) -> None:
        await limits.delete_budget(budget, tenant=tenant)

    _run(config, once)
    typer.echo(f"deleted {budget}")


@rates.command("set")
def set_rates(
    tenant: Tenant = "default",
    requests: Requests = None,
    tokens: Tokens = None,
    config: ConfigFile = None,
) -> None:
    """Set what a tenant's callers may use in a minute; what is not given has no limit."""
    from agentcore.llm_gateway.administration.models import RateTerms

    terms = RateTerms(requests_per_minute=requests, tokens_per_minute=tokens)

    async def once(limits: Limits) -> None:
        await limits.set_rates(terms, tenant=tenant)

    _run(config, once)
    typer.echo(_shown_rates(requests, tokens) or "no limit")


@rates.command("show")
def show_rates(tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """Show what a tenant's callers may use in a minute."""
    found = _run(config, lambda limits: limits.rates_of(tenant))
    typer.echo(_shown_rates(found.requests_per_minute, found.tokens_per_minute) or "no limit")


def _terms(
    model: list[str] | None,
    requests: int | None,
    tokens: int | None,
    priority: str,
    days: float | None,
) -> KeyTerms:
    from datetime import timedelta

    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.llm_gateway.administration.models import KeyTerms

    expires = None if days is None else SYSTEM_CLOCK.now() + timedelta(days=days)
    given = {
        "models": model or (),
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "priority": priority,
        "expires_at": expires,
    }
    return _valid(KeyTerms, given)


def _key_row(key: ApiKey) -> JsonObject:
    from agentcore.llm_gateway.models import PRIORITIES

    terms = key.terms
    limits = [
        "private" if key.private else "",
        " ".join(terms.models),
        _shown_rates(terms.requests_per_minute, terms.tokens_per_minute),
        f"at most {PRIORITIES[terms.ceiling]}" if terms.ceiling else "",
    ]
    return {
        "key": key.key_id,
        "subject": key.subject,
        "tenant": key.tenant,
        "scopes": " ".join(sorted(key.scopes)),
        "limits": ", ".join(limit for limit in limits if limit),
        "created": f"{key.created_at:%Y-%m-%d %H:%M}",
        "expires": f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "",
        "revoked": f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
    }


def _shown_rates(requests: int | None, tokens: int | None) -> str:
    given = ((requests, "requests"), (tokens, "tokens"))
    return ", ".join(f"{n} {unit} a minute" for n, unit in given if n is not None)


def _shown(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.000001")).normalize(), "f")


def _usd(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as exc:
        raise InvalidInput(f"{text!r} is no amount", hint="give a number, like 12.50") from exc


def _valid(model: Callable[..., T], given: Mapping[str, object]) -> T:
    from pydantic import ValidationError

    try:
        return model(**given)
    except ValidationError as exc:
        fault = exc.errors()[0]
        named = ".".join(str(step) for step in fault["loc"])
        raise InvalidInput(f"{named}: {fault['msg']}" if named else str(fault["msg"])) from exc


def _run(config: Path | None, work: Callable[[Limits], Awaitable[T]]) -> T:
    import asyncio

    async def once() -> T:
        async with _limits(config) as limits:
            return await work(limits)

    return asyncio.run(once())


@asynccontextmanager
async def _limits(config: Path | None) -> AsyncIterator[Limits]:
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.kit.ids import Ids
    from agentcore.kit.servers import open_servers
    from agentcore.kit.storage import open_schema
    from agentcore.llm_gateway.spending import open_limits

    settings = command_settings(config)
    async with (
        open_servers(settings.home, settings.database, None) as servers,
        open_schema(settings.database, servers) as database,
    ):
        yield open_limits(database, SYSTEM_CLOCK, Ids())
