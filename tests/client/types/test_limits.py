"""An image that is too large is refused by the client, with the service's sentence, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tta_client import Choice, Client, Frame, FrameAnswer, FrameFailure, Options, TTAClientError
from tta_client.errors import Refused, from_rpc
from tta_client.types.limits import UNLIMITED, Limits
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

from tests.client.services import run_service
from tests.client.test_invalid_frames import GOOD, NAMES, Watch, both

MESSAGE, SIDE, PIXELS, ROWS = 1 << 20, 4000, 500_000, 500
ROOM = MESSAGE - (64 << 10)


@pytest.fixture(scope="module")
def small() -> Iterator[str]:
    limits = {"message_bytes": MESSAGE, "image_bytes": 50_000, "image_side": SIDE, "image_pixels": PIXELS}
    with run_service(**{f"limits__{name}": value for name, value in limits.items()}) as at:
        yield at


def array(pixels: int, *more: int) -> Any:
    return np.zeros((ROWS, pixels // ROWS, *more), np.uint8)


def ask_service(address: str, request: pb.ClassifyRequest) -> None:
    """Sends a request past the client's checks."""
    with grpc.insecure_channel(address) as channel:
        try:
            AdaptationServiceStub(channel).Classify(request)
        except grpc.RpcError as error:
            raise from_rpc(error) from None


@both
def test_an_image_that_is_too_large_fails_alone_with_field_and_limit(small: str, watch: Watch) -> None:
    fits = ROOM // 3 // ROWS * ROWS  # pixels of RGB
    large = [array(fits + ROWS, 3), array(PIXELS + ROWS), np.zeros((1, SIDE + 1, 3), np.uint8), GOOD + bytes(50_000)]
    frames = [GOOD, *large, array(fits, 3), array(PIXELS), np.zeros((1, SIDE, 3), np.uint8), GOOD]
    results = watch(small, frames)
    assert [type(r) for r in results] == [FrameAnswer] + [FrameFailure] * 4 + [FrameAnswer] * 4
    failures = [(r.error.field, r.error.sentence) for r in results[1:5]]
    raw, encoded, of = "frame.image.raw", "frame.image.encoded", "in all are allowed"
    assert failures == [
        (raw, f"{raw}: the image is {fits // ROWS + 1} × {ROWS} pixels, at most {ROOM // 3} {of}"),
        (raw, f"{raw}: the image is {PIXELS // ROWS + 1} × {ROWS} pixels, at most {PIXELS} {of}"),
        (raw, f"{raw}: the image is {SIDE + 1} × 1 pixels, a side may have {SIDE}"),
        (encoded, f"{encoded}: the image has {len(GOOD) + 50_000} bytes, at most 50000 are allowed"),
    ]


@both
def test_a_4k_array_and_a_file_of_ten_megabytes_are_refused_with_the_usual_limits(service: str, watch: Watch) -> None:
    results = watch(service, [GOOD, np.zeros((2160, 3840, 3), np.uint8), GOOD + bytes(10 << 20), GOOD])
    assert [type(r) for r in results] == [FrameAnswer, FrameFailure, FrameFailure, FrameAnswer]
    most = (9 << 20) - (64 << 10)
    assert [r.error.sentence.rpartition("at most ")[2].split()[0] for r in results[1:3]] == [str(most // 3), "8388608"]


def test_the_service_says_the_same_of_what_it_gets(small: str) -> None:
    """The sentence does not depend on who checked."""
    labels = pb.Labels(label_set=pb.LabelSet(names=NAMES))
    pictures = [array(PIXELS + ROWS), np.zeros((1, SIDE + 1, 3), np.uint8), GOOD + bytes(50_000)]
    with Client(small) as client:
        for picture in pictures:
            with pytest.raises(TTAClientError) as here:
                client.classify(picture, NAMES)
            message = pb.Image(encoded=picture)if isinstance(picture, bytes) else pb.Image(
                raw=pb.RawImage(
                    width=picture.shape[1], height=picture.shape[0], pixels=picture.tobytes(),
                    format=pb.RawImage.FORMAT_RGB24 if picture.ndim == 3 else pb.RawImage.FORMAT_GRAY8,
                )
            )  # fmt: skip
            with pytest.raises(TTAClientError) as there:
                ask_service(small, pb.ClassifyRequest(image=message, labels=labels))
            assert isinstance(here.value, Refused) and not isinstance(there.value, Refused)
            assert (here.value.code, here.value.field, str(here.value)) == (
                there.value.code, there.value.field, str(there.value)
            )  # fmt: skip


@both
def test_a_message_that_is_too_large_for_another_reason_fails_alone_as_well(small: str, watch: Watch) -> None:
    endless = Options(Choice("mta", {"views": 4, "x" * MESSAGE: 1.0}))
    results = watch(small, [GOOD, Frame(2, GOOD, options=endless), GOOD])
    assert [type(r) for r in results] == [FrameAnswer, FrameFailure, FrameAnswer]
    assert results[1].error.field == "frame" and str(MESSAGE) in results[1].error.sentence


def test_a_unary_call_is_refused_in_the_same_way_and_not_sent(small: str) -> None:
    with Client(small) as client:
        with pytest.raises(TTAClientError, match=f"at most {ROOM // 3} in all") as caught:
            client.classify(np.zeros((1000, 1000, 3), np.uint8), ("not", "registered"))
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT and caught.value.field == "image.raw"
        assert 2 not in [info.classes for info in client.list_labels()]  # nothing was registered for it either
        with pytest.raises(TTAClientError, match=str(MESSAGE)):
            client.classify(GOOD, NAMES, request_id="x" * MESSAGE)


def test_without_known_limits_the_service_decides(client: Client) -> None:
    assert client.classify(bytes(3 << 20), NAMES).label in NAMES


@given(st.integers(1024, 1 << 40), st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([1, 3]))
def test_an_image_within_the_limits_fits_into_a_message(most: int, width: int, height: int, depth: int) -> None:
    limits = Limits(message_bytes=most)
    size = width * height * depth
    for check in (lambda: limits.check_raw(width, height, depth, "image"), lambda: limits.check_encoded(size, "image")):
        try:
            check()
        except Refused:
            assert size > min(most - (64 << 10), most // 2) - depth
        else:
            assert size < most
    UNLIMITED.check_raw(width, height, depth, "image")
    assert Limits.of({"image_side": 5.0, "new": 1}) == Limits(math.inf, math.inf, 5.0, math.inf)
