"""The decisions of calls and streams, without any I/O. Both clients carry them out."""
