"""Files of weights: checking, finding in the hub's cache, loading, fingerprint, and freeing their memory."""
