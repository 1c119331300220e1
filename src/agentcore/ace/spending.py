"""The monthly budget: what a model call may cost is booked before the call is made.

Bookings are told by ``call`` entries of the log, and outlive it. They are made one at a time under
a lock that spans the installation, so any number of workers together never book more than the
budget. A booking whose call timed out, or whose process died, stays at its upper bound: it may have
been billed. (Those of trials name their calls, so that others can settle them.) The same lock makes
the number of calls in a minute exact.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from agentcore.ace.errors import EvolutionBudgetExhausted, EvolutionRateLimited
from agentcore.ace.journal import Entry, Provenance
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook
from agentcore.ace.patience import patiently
from agentcore.ace.store import ContextStore, Unit
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject

MINUTE = timedelta(minutes=1)
SHORTEST_WAIT = 0.1
SETTLED = "model call"


class MonthlyBudget:
    def __init__(self, config: ACEConfig, store: ContextStore, *, clock: Clock, ids: Ids) -> None:
        self._budget = Decimal(str(config.ace_monthly_budget_usd))
        self._calls_per_minute = config.ace_max_llm_calls_per_minute
        self._store = store
        self._clock = clock
        self._ids = ids

    async def reserve(
        self,
        playbook: ContextPlaybook,
        provenance: Provenance,
        *,
        calls: int = 1,
        booking_id: str = "",
    ) -> Entry:
        """Book ``provenance.cost_usd`` for ``calls`` calls about ``playbook``.

        Raises:
            EvolutionBudgetExhausted: the month's budget does not cover it.
            EvolutionRateLimited: the last minute has seen as many calls as are allowed.
        """
        now = self._clock.now()
        booking = Entry(
            delta=ContextDelta(
                delta_id=booking_id or str(self._ids.new()),
                playbook_id=playbook.playbook_id,
                changes={},
                confidence=0.0,
                reasoning="model call under way",
                generated_at=now,
            ),
            kind="call",
            base_version=playbook.version,
            provenance=provenance,
        )

        async def work(unit: Unit) -> None:
            await unit.bookings.lock()
            month, minute = _month_of(now), now - MINUTE
            spent, recent, oldest = await unit.bookings.standing(month, minute)
            if oldest is not None and (recent + 1) * calls > self._calls_per_minute:
                wait = (oldest + MINUTE - now).total_seconds()
                raise EvolutionRateLimited(self._calls_per_minute, max(wait, SHORTEST_WAIT))
            if spent + provenance.cost_usd > self._budget:
                raise EvolutionBudgetExhausted(
                    spent=float(spent), asked=float(provenance.cost_usd), budget=float(self._budget)
                )
            await unit.deltas.insert(booking)
            await unit.bookings.add(
                booking.delta.delta_id, now, provenance.cost_usd, forgetting=month - MINUTE
            )

        await self._store.run(work)
        return booking

    async def unsettled(self, booking_id: str) -> Entry | None:
        """The booking, where it was made and nobody has said what it came to."""
        found = await self._store.run(lambda unit: unit.deltas.get(booking_id))
        return None if found is None or found.delta.reasoning == SETTLED else found

    async def settle(
        self, booking: Entry, agent_id: str, cost: Decimal, *, outcome: JsonObject
    ) -> None:
        """Replace the booked bound by what the call did cost, once.

        It is paid for, so a database that is away for moments is waited for.
        """
        said = booking.delta.model_copy(update={"reasoning": SETTLED})
        provenance = booking.provenance.model_copy(update={"cost_usd": cost})
        settled = replace(booking, delta=said, provenance=provenance, gate=outcome)

        async def work(unit: Unit) -> None:
            await unit.deltas.settle(settled, agent_id, cost)
            await unit.bookings.settle(booking.delta.delta_id, cost)

        await patiently(self._store, work, self._clock)


def _month_of(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
