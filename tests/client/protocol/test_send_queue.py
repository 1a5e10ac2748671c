"""What leaves next, what is under way, and what becomes of it when a call breaks."""

from __future__ import annotations

import math

from tta_client import Frame
from tta_client.protocol.send_queue import SendQueue


def leaves(out: SendQueue, *numbers: int, own: bool = False) -> None:
    for number in numbers:
        out.add(Frame(number, b""))
        out.record_sent(0.0, own)


def test_what_is_under_way_is_sent_again_in_order_before_anything_else_where_all_is_answered():
    out = SendQueue("block", in_flight=3, paced=True)
    leaves(out, 1, 2, 3)
    assert out.empty and out.unanswered == 3 and out.wait(0.0) == math.inf
    assert math.isfinite(out.settle(1, 0.0)[0]) and out.unanswered == 2
    out.add(Frame(4, b""))
    assert out.lose(with_pulled=True) == 0 and out.unanswered == 0
    again = []
    while (frame := out.next) is not None:
        again.append(frame.frame_id)
        out.record_sent(0.0, own_labels=False)
    assert again == [2, 3, 4]


def test_elsewhere_it_is_lost_and_what_was_pulled_with_it():
    for with_pulled, lost in ((True, 3), (False, 2)):
        out = SendQueue("latest", in_flight=3, paced=False)
        leaves(out, 1, 2)
        out.add(Frame(3, b""))
        assert out.lose(with_pulled) == lost and out.empty == with_pulled and out.unanswered == 0


def test_it_knows_whose_labels_a_frame_had_until_its_answer():
    out = SendQueue("latest", in_flight=3, paced=False)
    leaves(out, 1)
    leaves(out, 2, own=True)
    assert [out.has_own_labels(number) for number in (1, 2, 3)] == [False, True, False]
    out.settle(2, 0.0)
    assert not out.has_own_labels(2) and math.isnan(out.settle(2, 0.0)[0])
