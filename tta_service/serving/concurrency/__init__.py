"""Executors, and the ways in which their work is ordered and shared."""
