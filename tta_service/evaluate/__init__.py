"""Strategies on one's own pictures: `tta-service evaluate`, `advise` and `compare`, and the protocols of papers."""
