"""Foreign programs, run in their own environment (.venv-peers) by tests."""
