"""Which pictures are taught, which are measured, in which order."""

from __future__ import annotations

import numpy as np
import pytest

from tta_service.evaluate.pictures import PictureSet
from tta_service.evaluate.streams import make_streams, parse_lessons, parse_orders, parse_shifts, split_pictures

LABELS = np.repeat([2, 0, 1], 10)
DATA = PictureSet("three", ("a", "b", "c"), LABELS, lambda i: bytes([i]))
EVERY = np.random.default_rng(0).permutation(30)


def test_lessons_are_never_measured_and_repetitions_measure_the_same_pictures():
    split = split_pictures(DATA, EVERY, 2, seed=0)
    few, many = (make_streams(DATA, split, "shuffled", 3, count, seed=0) for count in (1, 2))
    measured = {tuple(sorted(one.picture.tolist())) for one in (*few, *many)}
    assert len(measured) == 1 and len(few) == len(many) == 3
    for one, more in zip(few, many):
        assert sorted(LABELS[more.taught].tolist()) == [0, 0, 1, 1, 2, 2]
        assert set(one.taught.tolist()) < set(more.taught.tolist()) and not set(more.taught) & set(more.picture)
    assert len({tuple(sorted(one.taught.tolist())) for one in many}) > 1


def test_orders_are_what_they_are_called():
    split = split_pictures(DATA, EVERY, 0, seed=0)
    (given,) = make_streams(DATA, split, "given", 3, 0, seed=0)
    assert given.picture.tolist() == list(range(30))
    classes = make_streams(DATA, split, "classes", 2, 0, seed=0)
    assert all((np.diff(LABELS[one.picture]) != 0).sum() == 2 for one in classes)
    one, other = make_streams(DATA, split, "shuffled", 2, 0, seed=0)
    assert sorted(one.picture) == sorted(other.picture) and one.picture.tolist() != other.picture.tolist()
    assert make_streams(DATA, split, "shuffled", 1, 0, seed=1)[0].picture.tolist() != one.picture.tolist()


def test_a_stream_is_named_after_what_its_pictures_hold():
    (one,) = make_streams(DATA, split_pictures(DATA, EVERY, 0, 0), "given", 1, 0, 0)
    changed = PictureSet("three", DATA.names, LABELS, lambda i: bytes([i + (i == 7)]))
    assert one.name(DATA) == one.name(PictureSet("four", DATA.names, LABELS, DATA.file)) != one.name(changed)


def test_a_class_with_too_few_pictures_for_its_lessons_is_named():
    with pytest.raises(ValueError, match="--lessons 10: there are 10 pictures of 'a'"):
        split_pictures(DATA, EVERY, 10, 0)


def test_words_of_the_command_line():
    assert parse_lessons("4,0,1") == (0, 1, 4) and parse_orders("given, classes") == ("given", "classes")
    assert parse_shifts(["fog:2", "noise"]) == [("fog", 2), ("noise", 3)]
    for parse, text, message in (
        (parse_lessons, "many", "0,1,4"),
        (parse_lessons, "-1", "0,1,4"),
        (parse_orders, "sorted", "shuffled, given, classes"),
        (parse_orders, ",", "shuffled"),
        (lambda text: parse_shifts([text]), "fog:high", "KIND:SEVERITY"),
        (lambda text: parse_shifts([text]), "fog:²", "KIND:SEVERITY"),
        (lambda text: parse_shifts([text]), f"fog:{'9' * 5000}", "KIND:SEVERITY"),
    ):
        with pytest.raises(ValueError, match=message):
            parse(text)
