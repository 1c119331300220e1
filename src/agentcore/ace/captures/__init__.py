"""Execution traces in the database."""
