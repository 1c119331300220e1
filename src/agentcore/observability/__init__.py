"""Metrics, logs, traces and cost."""
