from __future__ import annotations

import pytest

from tta_service.core.errors import Overloaded
from tta_service.serving.admission.quotas import ClientQuota


def later() -> float:
    return 2.5


def test_what_is_too_much_in_all_or_for_one_comes_back_later():
    shares = ClientQuota(100, 0.5)
    shares.take("a", 40, later)
    with pytest.raises(Overloaded, match="your share is 50") as refused:
        shares.take("a", 20, later)
    assert refused.value.retry_after == 2.5
    shares.take("b", 40, later)
    with pytest.raises(Overloaded, match="room for 100"):
        shares.take("c", 30, later)
    shares.take("c", 20, later)
    assert shares.total == 100
    shares.add("a", -40)
    shares.take("a", 40, later)


def test_one_alone_may_be_larger_than_the_bound():
    shares = ClientQuota(100, 0.5)
    shares.take("a", 1000, later)
    with pytest.raises(Overloaded):
        shares.take("b", 1, later)
    shares.add("a", -1000)
    shares.take("b", 60, later)  # over its share, but it has nothing else here


def test_without_a_bound_everything_is_taken():
    shares = ClientQuota()
    for _ in range(10):
        shares.take("", 10**9, later)
