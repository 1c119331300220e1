"""What is known of a Parallax cluster: status, capacity, health."""
