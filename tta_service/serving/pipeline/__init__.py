"""One request from image to report."""
