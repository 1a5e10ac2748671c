"""Between messages and core values, for every transport: requests, responses, errors. Imports no grpc."""
