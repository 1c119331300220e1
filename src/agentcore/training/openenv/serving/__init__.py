"""The server of one environment, piece by piece; ``server`` puts them together."""
