"""Webhooks that hear of a task: their configurations, where they may be, and delivery."""
