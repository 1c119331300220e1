"""How often and how much callers may ask, over all replicas."""
