"""The values that go in and come out, and their messages on the wire."""
