"""Which frame is sent next, which are unanswered, and which survive a lost call."""

from __future__ import annotations

import math

from tta_client import Frame
from tta_client.protocol.send_queue import SendQueue


def send(queue: SendQueue, *numbers: int, own: bool = False) -> None:
    for number in numbers:
        queue.add(Frame(number, b""))
        queue.record_sent(0.0, own)


def test_block_sends_the_unanswered_frames_of_a_lost_call_again_and_first():
    queue = SendQueue("block", in_flight=3, paced=True)
    send(queue, 1, 2, 3)
    assert queue.empty and queue.unanswered == 3 and queue.wait(0.0) == math.inf
    assert math.isfinite(queue.settle(1, 0.0)[0]) and queue.unanswered == 2
    queue.add(Frame(4, b""))
    assert queue.lose(with_pulled=True) == 0 and queue.unanswered == 0
    again = []
    while (frame := queue.next) is not None:
        again.append(frame.frame_id)
        queue.record_sent(0.0, own_labels=False)
    assert again == [2, 3, 4]


def test_other_policies_lose_them_and_the_waiting_frame():
    for with_pulled, lost in ((True, 3), (False, 2)):
        queue = SendQueue("latest", in_flight=3, paced=False)
        send(queue, 1, 2)
        queue.add(Frame(3, b""))
        assert queue.lose(with_pulled) == lost and queue.empty == with_pulled and queue.unanswered == 0


def test_it_knows_which_unanswered_frames_have_labels_of_their_own():
    queue = SendQueue("latest", in_flight=3, paced=False)
    send(queue, 1)
    send(queue, 2, own=True)
    assert [queue.has_own_labels(number) for number in (1, 2, 3)] == [False, True, False]
    queue.settle(2, 0.0)
    assert not queue.has_own_labels(2) and math.isnan(queue.settle(2, 0.0)[0])
