"""Handing tasks on: whom to, with what, and the log of who did."""
