"""How callers speak: what each dialect asks, answers and complains of."""
