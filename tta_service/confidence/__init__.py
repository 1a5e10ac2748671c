"""How far an answer can be trusted: calibration, conformal prediction, smoothing over time. Pure functions."""
