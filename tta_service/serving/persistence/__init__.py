"""Sessions that outlive their server: a state store, snapshots and resume tokens."""
