"""Label sets, their text features, and the cache of both."""
