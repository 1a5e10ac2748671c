"""Frozen values and the protocols `Strategy` and `Reducer`. Imports torch and no other package of this project."""
