"""Prompt optimisation on environment reward."""
