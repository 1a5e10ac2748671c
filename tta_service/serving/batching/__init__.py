"""Views of all requests share the image tower: the queue, the next batch, the device's health."""
