"""What the registry is made of: records and their store, the Hub, catalogs, health, deployments."""
