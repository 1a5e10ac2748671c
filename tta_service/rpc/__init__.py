"""The service on gRPC: messages become requests, reports become messages, errors become statuses."""
