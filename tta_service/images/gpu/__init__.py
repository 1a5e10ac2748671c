"""Cuts the same views on the device that encodes them."""
