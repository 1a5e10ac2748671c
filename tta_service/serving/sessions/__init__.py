"""Sessions, their memories, and the turns of requests at each memory."""
