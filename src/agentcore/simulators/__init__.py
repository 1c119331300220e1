"""Stand-ins that speak a real wire and say that they simulate."""
