"""Running tool graphs in parallel (seed 003, feature 7)."""
