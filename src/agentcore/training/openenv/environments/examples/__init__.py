"""Environments to learn from: short, complete, tested."""
