"""The frames of a stream: which wait, which are dropped, and how fast they are read."""
