from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tta_service.clip.text.packing import count_common_start, find_own_places, pack

rows = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(rows, st.integers(1, 4))
def test_every_token_has_its_place(own, shared):
    lengths = torch.tensor(own) + shared
    packing = pack(lengths, shared)
    prompts, columns = find_own_places(lengths, packing)
    assert len(packing.places) == shared + sum(own)
    assert packing.places[:shared].tolist() == list(range(shared))
    assert sorted(zip(prompts.tolist(), columns.tolist(), strict=True)) == [
        (row, column) for row, length in enumerate(lengths.tolist()) for column in range(shared, length)
    ]
    ends = packing.ends - shared
    assert torch.equal(columns[ends], lengths[packing.order] - 1) and torch.equal(prompts[ends], packing.order)


@given(rows)
def test_groups_lie_end_to_end_and_rows_come_back_in_order(own):
    lengths = torch.tensor(own) + 2
    packing = pack(lengths, 2)
    first = 2
    for start, count, tokens in packing.groups:
        assert start == first
        first += count * tokens
    assert first == len(packing.places)
    assert torch.equal(packing.restore(lengths[packing.order][:, None])[:, 0], lengths)


def test_the_common_start_leaves_every_row_a_token():
    tokens = torch.tensor([[9, 1, 2, 8, 0], [9, 1, 2, 3, 8]])
    assert count_common_start(tokens, torch.tensor([4, 5])) == 3
    assert count_common_start(tokens[:1].repeat(2, 1), torch.tensor([4, 4])) == 3
    assert count_common_start(torch.tensor([[9, 8, 0], [9, 1, 8]]), torch.tensor([2, 3])) == 1
