from __future__ import annotations

from tta_service.serving.sessions.memory import MemoryAccounting


def test_sums_by_owner_and_strategy():
    ledger = MemoryAccounting()
    for owner, strategy, by in (("ann", "tda", 8), ("bob", "tda", 4), ("ann", "oga", 2), ("bob", "tda", -4)):
        ledger.change(owner, strategy, by)
    assert ledger.total == 10 and ledger.of_owner("ann") == 10 and ledger.of_owner("bob") == 0
    assert dict(ledger.by_strategy) == {"tda": 8, "oga": 2}


def test_counters_given_to_a_reader_never_change():
    ledger = MemoryAccounting()
    ledger.change("", "tda", 8)
    held = ledger.by_strategy
    ledger.change("", "tda", -8)
    assert dict(held) == {"tda": 8} and dict(ledger.by_strategy) == {}
