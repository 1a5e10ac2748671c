"""Pictures are decoded in processes of their own, which may end without harm."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import torch

from tta_service.core.errors import BadImage
from tta_service.core.request import Encoded
from tta_service.images.decode import decode
from tta_service.images.files import ImageLimits

from .files import encode, photo

decoders = pytest.importorskip("tta_service.images.decoders", reason="Linux only", exc_type=AttributeError)
LIMITS = ImageLimits(max_pixels=1_000_000)
JPEG, LARGE = encode(photo(), "JPEG"), encode(photo(1000, 1000), "PNG")


@contextmanager
def pool(seconds: float = 5.0, processes: int = 1) -> Iterator[decoders.DecoderPool]:
    made = decoders.DecoderPool(processes, seconds, LIMITS)
    try:
        yield made
    finally:
        made.close()


def children() -> list[psutil.Process]:
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if "decoder_process" in " ".join(one.cmdline())]


def test_pixels_and_refusals_are_those_of_this_process():
    files = [JPEG, encode(photo(mode="LA"), "PNG"), encode(photo(), "WEBP", lossless=True), LARGE]
    with pool() as made:
        for file in files:
            there = decode(Encoded(file), LIMITS, pool=made)
            assert torch.equal(there, decode(Encoded(file), LIMITS))
            there[:] = 0  # they are the caller's own
        scaled = decode(Encoded(JPEG), LIMITS, 20, made)
        assert torch.equal(scaled, decode(Encoded(JPEG), LIMITS, 20))
        assert scaled.shape == (3, 20, 30)
        for wrong in (JPEG[:200], b"none", encode(photo(1001, 1000), "PNG"), b""):
            sentences = []
            for where in (made, None):
                with pytest.raises(BadImage) as caught:
                    decode(Encoded(wrong), LIMITS, pool=where)
                sentences.append((caught.value.message, caught.value.field))
            assert sentences[0] == sentences[1]
        assert not +made.ended
    assert not children()


def test_a_picture_that_takes_too_long_fails_alone():
    slow = encode(photo(1000, 1000), "WEBP", lossless=True)
    with pool(seconds=0.01) as made:
        with pytest.raises(BadImage, match=r"took more than 0\.01 s of processor time") as caught:
            made.decode(slow)
        assert caught.value.field == "image"
        assert made.ended == {"time": 1, "broken": 0}
        assert made.decode(JPEG).shape == (40, 60, 3)


@pytest.mark.slow
def test_a_process_that_stands_still_is_replaced():
    with pool(seconds=0.2) as made:
        made.decode(JPEG)
        children()[0].suspend()
        with pytest.raises(BadImage, match=r"took more than 0\.2 s"):
            made.decode(JPEG)
        assert made.ended["time"] == 1


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_dies_fails_the_picture_that_it_has_and_another_takes_its_place(ended_by: signal.Signals):
    with pool() as made:
        made.decode(JPEG)
        (first,) = children()
        first.suspend()
        failed: list[BadImage] = []

        def decode_one() -> None:
            try:
                made.decode(JPEG)
            except BadImage as error:
                failed.append(error)

        thread = threading.Thread(target=decode_one)
        thread.start()
        first.send_signal(ended_by)
        with contextlib.suppress(psutil.NoSuchProcess):
            first.resume()
        thread.join()
        assert [(error.message, error.field) for error in failed] == [("the image broke its decoder", "image")]
        assert made.ended == {"time": 0, "broken": 1}
        assert made.decode(JPEG).shape == (40, 60, 3)


def test_a_decoder_may_take_the_memory_of_the_largest_picture_and_no_more():
    with pool() as made:
        made.decode(LARGE)
        (process,) = children()
        allowed = process.rlimit(psutil.RLIMIT_AS)[0]
        assert process.memory_info().rss < 120e6
        assert allowed < process.memory_info().vms + 200e6
        assert not any("torch" in one.path for one in process.memory_maps())


@pytest.mark.slow
def test_threads_share_the_processes():
    with pool(processes=2) as made:
        threads = [threading.Thread(target=made.decode, args=(LARGE,)) for _ in range(6)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(children()) == 2
        assert not +made.ended


@pytest.mark.slow
def test_decoders_end_with_the_process_that_asked():
    program = f"""
from tta_service.images.decoders import DecoderPool
from tta_service.images.files import ImageLimits
import os, signal
pool = DecoderPool(1, 1.0, ImageLimits())
pool.decode({JPEG!r})
import psutil
print(*(one.pid for one in psutil.Process().children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ)
    (pid,) = map(int, ended.stdout.split())
    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.01)
