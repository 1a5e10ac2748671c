"""Compilers and runtimes that run the image tower's forward, one per file."""
