"""A strategy and a token reducer for tta_service, each in a module of its own."""
