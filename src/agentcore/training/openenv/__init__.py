"""OpenEnv: client, servers, registry and the A2A adapter (seed 000, section 2)."""
