"""The frames of a stream: which wait, which are dropped, how many are read in a second."""
