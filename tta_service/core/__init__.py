"""Frozen values and two protocols. Imports torch, nothing of ours."""
