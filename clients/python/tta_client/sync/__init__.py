"""The synchronous client: calls, and streams over threads."""
