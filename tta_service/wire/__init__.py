"""Messages to core values and back, for every transport: requests, responses, errors. Imports no grpc."""
