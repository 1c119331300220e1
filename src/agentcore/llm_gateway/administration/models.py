"""What administrators send and get."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from agentcore.llm_gateway.budgets.models import BudgetTerms, Period, Share, Usd
from agentcore.llm_gateway.models import PRIORITIES, Priority
from agentcore.llm_gateway.terms import ApiKey, Terms

PerMinute = Annotated[int, Field(ge=1, le=2**31 - 1)]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Who = Annotated[str, StringConstraints(max_length=128)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("it is before the year 1 or after the year 9999 in UTC") from exc


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class KeyTerms(BaseModel):
    """What a key's calls may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[Glob, ...] = Field(
        (), max_length=100, description="Globs of served models; none: every model."
    )
    requests_per_minute: PerMinute | None = Field(None, description="null: as many as it likes.")
    tokens_per_minute: PerMinute | None = Field(None, description="null: as many as it likes.")
    priority: Priority = Field("high", description="The highest that its calls may have.")
    expires_at: Moment | None = Field(None, description="null: it never expires.")

    @property
    def terms(self) -> Terms:
        return Terms(
            models=self.models,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            ceiling=PRIORITIES.index(self.priority),
        )


class KeyBudget(BaseModel):
    """A budget of the key that is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_usd: Usd = Field(description="USD that may be spent in a period.")
    period: Period = Field("month", description="What it is for.")
    hard: bool = Field(True, description="Refuse what would exceed it; else it only tells.")
    alert_share: Share | None = Field(
        Decimal("0.8"), description="Tell when this share is spent; null: never."
    )

    def of(self, key_id: str) -> BudgetTerms:
        return BudgetTerms(scope="key", target=key_id, **self.model_dump())


class KeyDraft(KeyTerms):
    """A key to be made."""

    subject: Who = Field(min_length=1, description="Who the key is for.")
    tenant: Who = Field("", description="Whose data it may see; empty: the caller's tenant.")
    scopes: tuple[str, ...] = Field(("llm",), max_length=20, description="What it may do.")
    private: bool = Field(False, description="Its requests reach private providers only.")
    budget: KeyBudget | None = Field(None, description="What it may spend; null: no limit.")


class KeyView(BaseModel):
    """A key without its secret."""

    key_id: str
    subject: str
    tenant: str
    scopes: list[str]
    private: bool
    models: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    priority: Priority
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls.model_validate(members(key))


class NewKey(KeyView):
    """The one answer that has the secret."""

    key: str = Field(description="The key itself; nobody can read it again.")


class KeyViewPage(BaseModel):
    keys: list[KeyView]
    next_cursor: str | None


class RateTerms(BaseModel):
    """What the callers of a tenant may use together in a minute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: PerMinute | None = Field(None, description="null: as many as they like.")
    tokens_per_minute: PerMinute | None = Field(None, description="null: as many as they like.")


def members(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "subject": key.subject,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "private": key.private,
        "models": key.terms.models,
        "requests_per_minute": key.terms.requests_per_minute,
        "tokens_per_minute": key.terms.tokens_per_minute,
        "priority": PRIORITIES[key.terms.ceiling],
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
