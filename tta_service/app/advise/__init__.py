"""Advice: which strategy suits a user's unlabelled images."""
