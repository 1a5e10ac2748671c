"""The seconds that a request will take, learnt from earlier requests."""
