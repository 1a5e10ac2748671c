"""Which strategy suits a user's unlabelled images."""
