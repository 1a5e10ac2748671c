"""The pipeline: one request from its image to its report."""
