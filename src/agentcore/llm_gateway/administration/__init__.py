"""Managing keys, budgets and rates."""
