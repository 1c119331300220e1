"""Alembic's entry: runs on the connection that ``agentcore.kit.db_migrations`` hands over."""

import importlib
from pathlib import Path

from alembic import context

import agentcore
from agentcore.kit.db import metadata

# Every table is declared in a store.
PACKAGE = Path(agentcore.__file__).parent
for store in sorted(PACKAGE.rglob("store.py")):
    importlib.import_module(".".join(store.relative_to(PACKAGE.parent).with_suffix("").parts))

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_server_default=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
