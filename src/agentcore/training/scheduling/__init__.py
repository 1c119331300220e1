"""When rollout jobs run, where they are kept, and what they do."""
