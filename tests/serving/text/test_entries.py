"""Which entries are evicted, and which stay."""

from __future__ import annotations

import pytest

from tta_service.serving.text.entries import LRU


class Words(LRU[str]):
    """Words, sized by their letters."""

    def __init__(self, letters: int) -> None:
        self.evicted: list[str] = []
        super().__init__(letters, len, lambda id, word: self.evicted.append(word))


def test_the_least_recently_used_entry_is_evicted_and_peeking_is_no_use():
    words = Words(6)
    words.put("x", "ab")
    words.put("y", "cd")
    assert words.get("x") == "ab" and words.peek("y") == "cd" and words.peek_all() == {"x": "ab", "y": "cd"}
    words.put("z", "efg")
    assert words.peek_all() == {"x": "ab", "z": "efg"} and words.evicted == ["cd"]
    assert words.get("y") is None and words.peek("y") is None


@pytest.mark.parametrize("letters", [0, 1, 3])
def test_the_newest_entry_stays_however_large_until_the_next(letters: int):
    words = Words(letters)
    for word in ("abcd", "efgh"):
        words.put(word, word)
        assert words.peek_all() == {word: word}
    assert words.pop("efgh") == "efgh" and words.pop("efgh", None) is None
    assert words.evicted == ["abcd"]  # what was taken out was not evicted


def test_an_entry_that_is_replaced_is_measured_again():
    words = Words(6)
    for id, word in (("x", "ab"), ("y", "cd"), ("x", "abcde")):
        words.put(id, word)
    assert words.peek_all() == {"x": "abcde"} and words.evicted == ["cd"]
    words.put("x", "a")
    words.put("y", "bcdef")
    assert words.evicted == ["cd"] and len(words) == 2
