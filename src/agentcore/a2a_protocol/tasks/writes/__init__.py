"""What is written to tasks: changes, the statements that make them, and many in one."""
