"""The image tower: our forward pass over open_clip's modules, in any precision and compression."""
