"""How much may be spent, by whom and until when, held over all replicas."""
