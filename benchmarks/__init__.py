"""Measurements of AgentCore against what else does its work: ``python -m benchmarks``."""
