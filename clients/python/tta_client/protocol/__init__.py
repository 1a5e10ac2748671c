"""What a stream and a call decide, without any I/O: both clients do what it says."""
