"""The tables themselves, apart from their queries."""
