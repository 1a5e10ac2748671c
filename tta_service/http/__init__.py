"""The service on HTTP: REST for programs, a WebSocket for streams, a page for people."""
