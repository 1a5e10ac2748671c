"""One open stream: frames in, answers out, in order."""
