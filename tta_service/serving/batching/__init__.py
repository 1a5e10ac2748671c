"""Batches for the image tower, shared by all requests: the queue, the next batch, the device's health."""
