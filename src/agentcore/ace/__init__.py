"""Agentic Context Engineering: playbooks that evolve from execution traces (seed 002)."""
