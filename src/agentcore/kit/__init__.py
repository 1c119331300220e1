"""What every package needs and no package owns."""
