"""Values as rows, and rows as values."""
