from __future__ import annotations

import pytest

from tta_service.core.errors import Overloaded
from tta_service.serving.admission.claims import ClientQuota


def retry_after() -> float:
    return 2.5


def test_too_much_work_in_all_or_for_one_client_is_refused_with_a_time_to_retry():
    quota = ClientQuota(100, 0.5)
    quota.take("a", 40, retry_after)
    with pytest.raises(Overloaded, match="your share is 50") as refused:
        quota.take("a", 20, retry_after)
    assert refused.value.retry_after == 2.5
    quota.take("b", 40, retry_after)
    with pytest.raises(Overloaded, match="room for 100"):
        quota.take("c", 30, retry_after)
    quota.take("c", 20, retry_after)
    assert quota.total == 100
    quota.add("a", -40)
    quota.take("a", 40, retry_after)


def test_a_request_alone_may_exceed_the_bound():
    quota = ClientQuota(100, 0.5)
    quota.take("a", 1000, retry_after)
    with pytest.raises(Overloaded):
        quota.take("b", 1, retry_after)
    quota.add("a", -1000)
    quota.take("b", 60, retry_after)  # over its share, but it has nothing else here


def test_without_a_bound_all_work_is_accepted():
    quota = ClientQuota()
    for _ in range(10):
        quota.take("", 10**9, retry_after)
