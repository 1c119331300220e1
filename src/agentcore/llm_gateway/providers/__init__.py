"""One small module per upstream wire."""
