"""Everything with `await`: admission, batching, one request's pipeline, sessions and their persistence."""
