"""The methods of `tta.v1.AdaptationService`."""
