"""Values of the A2A wire."""
