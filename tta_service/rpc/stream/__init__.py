"""One open stream of a camera: its frames, its answers and its flow control."""
