"""One door to every model: routing, providers, cost (seed 000, section 3)."""
