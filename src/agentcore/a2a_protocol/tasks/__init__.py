"""What a task is made of: its events, their store, and those who follow them."""
