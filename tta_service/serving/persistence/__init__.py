"""Sessions outlive their server: snapshots, resume tokens, a state store."""
