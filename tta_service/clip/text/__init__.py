"""The text tower, from names and templates to features, and back to the prompt by gradients."""
