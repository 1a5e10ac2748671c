"""Where weights come from, which ones they are, and what becomes of the memory that they took."""
