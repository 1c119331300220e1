"""Developing and training agents against environments."""
