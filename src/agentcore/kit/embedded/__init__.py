"""PostgreSQL and Valkey as child processes shared by all processes of one home."""
