"""The web console: live pages over the same services as the REST routes."""
