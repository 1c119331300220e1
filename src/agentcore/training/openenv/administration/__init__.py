"""The routes that operators and orchestrators manage environments by."""
