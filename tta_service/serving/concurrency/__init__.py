"""Executors, and the few ways in which work in them is ordered."""
