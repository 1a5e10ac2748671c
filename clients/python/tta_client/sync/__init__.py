"""The client of tta_service for threads. Most of it is generated from `aio`, see protos/generate_sync.py."""
