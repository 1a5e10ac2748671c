from __future__ import annotations

import pytest

from tests.images.files import png
from tests.serving.harness import make_request
from tta_service.core.errors import Overloaded
from tta_service.core.request import Encoded, PixelFormat, Raw
from tta_service.serving.admission.claims import ClientQuota
from tta_service.serving.pipeline.resources import LARGEST, PIXELS_OF_A_ROW, claim_for


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
    quota.give_back("a", 40)
    quota.take("a", 40, retry_after)


def test_a_request_alone_may_exceed_the_bound():
    quota = ClientQuota(100, 0.5)
    quota.take("a", 1000, retry_after)
    with pytest.raises(Overloaded):
        quota.take("b", 1, retry_after)
    quota.give_back("a", 1000)
    quota.take("b", 60, retry_after)  # over its share, but it has nothing else here


def test_without_a_bound_all_work_is_accepted():
    quota = ClientQuota()
    for _ in range(10):
        quota.take("", 10**9, retry_after)


def test_a_part_is_kept_for_those_who_have_nothing_here():
    quota = ClientQuota(160, 1.0)
    quota.take("a", 80, retry_after)
    quota.take("b", 70, retry_after)
    for client in "ab":
        with pytest.raises(Overloaded, match="room for 150"):
            quota.take(client, 1, retry_after)
    quota.take("c", 10, retry_after)


def test_one_client_has_at_most_so_many_requests():
    quota = ClientQuota(requests=2)
    for client in ("a", "a", "b"):
        quota.take(client, 1, retry_after)
    with pytest.raises(Overloaded, match="2 requests of yours") as refused:
        quota.take("a", 1, retry_after)
    assert (refused.value.quota, refused.value.retry_after) == ("limits.client_requests", 2.5)
    quota.give_back("a", 1)
    quota.take("a", 1, retry_after)


@pytest.mark.parametrize(
    "image",
    [
        Encoded(png(2**32 - 1, 2**32 - 1, b"")),
        Encoded(b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3"),
        Raw(2**31, 2**31, PixelFormat.RGB24, b""),
    ],
)
def test_a_header_that_says_more_pixels_than_any_picture_has_takes_the_turns_of_its_client_not_for_long(image):
    claim = claim_for(make_request(image=image), lambda: 0.0)
    assert claim.rows == claim.cost == 1 + LARGEST // PIXELS_OF_A_ROW <= 200


def test_work_that_a_request_waits_for_counts_among_that_of_its_client():
    quota = ClientQuota(100, 0.5)
    quota.take("a", 10, retry_after)
    with quota.hold("a", 80, retry_after):  # the only one: the request could not run without it
        with pytest.raises(Overloaded, match="90 rows of your work") as refused:
            quota.take("a", 1, retry_after)
        assert refused.value.quota == "batch.client_share"
        with pytest.raises(Overloaded), quota.hold("a", 1, retry_after):
            pytest.fail("it was held")
        quota.give_back("a", 10)
        with pytest.raises(Overloaded, match="80 rows of your work"):
            quota.take("a", 1, retry_after)
    quota.take("a", 50, retry_after)
    assert quota.total == 50
