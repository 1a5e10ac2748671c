from __future__ import annotations

from tta_service.serving.sessions.memory import MemoryAccounting


def test_sums_by_owner_and_strategy():
    accounting = MemoryAccounting()
    for owner, strategy, by in (("ann", "tda", 8), ("bob", "tda", 4), ("ann", "oga", 2), ("bob", "tda", -4)):
        accounting.change(owner, strategy, by)
    assert accounting.total == 10 and accounting.of_owner("ann") == 10 and accounting.of_owner("bob") == 0
    assert dict(accounting.by_strategy) == {"tda": 8, "oga": 2}


def test_counters_given_to_a_reader_never_change():
    accounting = MemoryAccounting()
    accounting.change("", "tda", 8)
    held = accounting.by_strategy
    accounting.change("", "tda", -8)
    assert dict(held) == {"tda": 8} and dict(accounting.by_strategy) == {}
