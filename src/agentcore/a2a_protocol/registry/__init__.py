"""What the registry does by itself: the search, looks at remote agents, drains, the telling."""
