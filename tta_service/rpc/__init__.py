"""The doors on gRPC: questions in, answers out, statuses for errors. Decides nothing."""
