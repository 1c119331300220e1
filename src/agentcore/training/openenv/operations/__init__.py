"""Long pieces of work that outlive the request, and the process, that asked for them."""
