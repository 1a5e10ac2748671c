"""The methods of `tta.v1.AdaptationService`, messages in and messages out, for every transport."""
