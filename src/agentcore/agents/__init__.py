"""Agents hosted here and their orchestration: pool, messages, shared context, consensus."""
