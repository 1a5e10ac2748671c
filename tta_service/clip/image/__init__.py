"""The image tower: our forward over the library's modules, in any precision and compression."""
