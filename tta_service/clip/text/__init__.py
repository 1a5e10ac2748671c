"""The text tower: names and templates to features, and gradients back to the prompt."""
