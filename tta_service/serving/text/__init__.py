"""Label sets through the text tower, encoded once and cached."""
