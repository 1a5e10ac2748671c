"""Compilers and other runtimes that take over the image tower's forward, one in one file."""
