"""What a request will cost, learnt from the requests before it."""
