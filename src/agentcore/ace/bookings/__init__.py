"""Who has booked how much of the money for evolution."""
