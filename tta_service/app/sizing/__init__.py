"""How many servers some cameras need: measured here, planned by a queueing model, checked by a simulation."""
