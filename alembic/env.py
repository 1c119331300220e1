"""Alembic's entry: runs on the connection that ``agentcore.kit.db_migrations`` hands over."""

import importlib

from alembic import context

from agentcore.kit.db import metadata

STORES = (
    "agentcore.a2a_protocol.store",
    "agentcore.ace.store",
    "agentcore.llm_gateway.budgets.store",
    "agentcore.llm_gateway.store",
    "agentcore.training.openenv.operations.store",
    "agentcore.training.openenv.registration.store",
    "agentcore.training.scheduling.store",
    "agentcore.training.store",
)
for store in STORES:
    importlib.import_module(store)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_server_default=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
