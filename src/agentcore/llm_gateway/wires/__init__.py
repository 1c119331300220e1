"""The APIs of providers, each for the dialects that it can carry."""
