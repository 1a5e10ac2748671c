"""Sessions, their memories, and the order in which requests use each memory."""
