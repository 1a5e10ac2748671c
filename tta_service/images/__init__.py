"""Bytes to views: `decode` makes pixels, `look` makes the views that the tower encodes."""
