"""Rows of the table and their verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.shown import detail
from benchmarks.accuracy.table import Table
from tta_service.evaluate import verdicts
from tta_service.evaluate.cells import Cell, cells
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.rows import judge_rows, row
from tta_service.evaluate.runs import Run


def test_holm_by_hand():
    assert verdicts.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert verdicts.holm([0.5, 0.9]) == [1.0, 1.0]


def test_p_of_two_standard_errors():
    assert verdicts.two_sided(1.96, 1.0, 200) == pytest.approx(0.05, abs=1e-4)
    assert verdicts.two_sided(0.0, 0.0, 0) == 1
    assert verdicts.two_sided(-0.5, 0.0, 200) < 1e-50


@pytest.mark.parametrize(("pictures", "said_of_it"), [(1, ""), (2, ""), (5, ""), (6, "helps"), (40, "helps")])
def test_few_pictures_prove_nothing_however_alike_they_are(pictures: int, said_of_it: str):
    """The sign test of so many that all side with one of both: 2 · ½ⁿ is below 5 % from six on."""
    plain, right = np.zeros(pictures), np.ones(pictures)
    rows = [row(Cell("set"), Contender("mta"), [said(right, plain)], [said(plain, plain)])]
    judge_rows(rows)
    assert (rows[0].verdict, rows[0].beside_verdict) == (said_of_it, said_of_it)
    assert rows[0].adjusted_p == pytest.approx(2 * 0.5**pictures)


def test_a_verdict_needs_both_the_errors_and_the_correction():
    assert verdicts.verdict(3.0, 1.0, 0.01) == "helps"
    assert verdicts.verdict(-3.0, 1.0, 0.01) == "hurts"
    assert verdicts.verdict(3.0, 1.0, 0.2) == ""
    assert verdicts.verdict(1.9, 1.0, 0.01) == ""


def said(right: np.ndarray, plain: np.ndarray, order: np.ndarray | None = None, views: int = 1) -> Run:
    """Two classes, label 0: right is class 0."""
    order = np.arange(len(right)) if order is None else order
    scores = np.where(right[order, None] > 0, [[0.9, 0.1]], [[0.3, 0.7]]).astype(np.float32)
    zeros = np.zeros(len(right), int)
    return Run(
        order, zeros, scores, (1 - plain[order]).astype(int), np.full(len(right), 0.002, np.float32), zeros + views
    )


def test_a_row_is_paired_by_picture_whatever_the_order():
    draw = np.random.default_rng(0)
    plain, right = (draw.random((2, 400)) < 0.5).astype(float)
    made = row(Cell("set"), Contender("tda"), [said(right, plain, draw.permutation(400)) for _ in range(3)], [])
    assert made.top1 == pytest.approx(100 * right.mean())
    assert made.difference == pytest.approx(100 * (right - plain).mean())
    assert made.difference_error == pytest.approx(100 * (right - plain).std(ddof=1) / 20)  # orders made no difference
    assert made.right_flips - made.wrong_flips == pytest.approx(made.difference)


def test_last_quarter_is_that_of_the_stream_and_not_of_the_pictures():
    plain, right = np.zeros(8), np.array([0, 0, 0, 0, 0, 0, 1, 1.0])
    backwards = said(right, plain, np.arange(8)[::-1])
    assert row(Cell("set"), Contender("tda"), [said(right, plain)], []).last_quarter == 100
    assert row(Cell("set"), Contender("tda"), [backwards], []).last_quarter == 0


def test_a_row_stands_beside_one_that_needs_no_orders():
    plain = np.zeros(100)
    mean, mta = (np.arange(100) < 40).astype(float), (np.arange(100) < 55).astype(float)
    made = row(Cell("set"), Contender("mta"), [said(mta, plain)], [said(mean, plain)])
    assert (made.beside, made.beside_difference) == ("mean", pytest.approx(15))
    boosted = [said(mta, plain), said(mean, plain)]
    made = row(Cell("set"), Contender("boost_adapter"), boosted, [said(mean, plain)])
    assert (made.beside, made.beside_difference) == ("boost_adapter:views=1", pytest.approx(7.5))


def test_verdicts_are_corrected_over_the_whole_table():
    draw, plain = np.random.default_rng(3), np.zeros(200)
    helped = (np.arange(200) < 100).astype(float)
    rows = [row(Cell("set", "fog", 3), Contender("mta"), [said(helped, plain)], [])]
    for _ in range(300):  # chance alone
        one, other = (draw.random((2, 200)) < 0.5).astype(float)
        rows.append(row(Cell("set"), Contender("mean"), [said(one, other)], []))
    judge_rows(rows)
    assert rows[0].verdict == "helps"
    assert sum(abs(one.difference) > 2 * one.difference_error for one in rows[1:]) > 5
    assert [one.verdict for one in rows[1:]] == [""] * 300
    assert "**helps**" in detail(rows)[2]


def test_a_picture_under_many_shifts_is_one_picture():
    """Copies of one cell make the mean no surer."""
    draw = np.random.default_rng(5)
    plain, right = (draw.random((2, 100)) < 0.5).astype(float)
    table = Table((Contender("zero_shot"), Contender("mta")))
    for shift in ("noise", "blur", "fog", "jpeg"):
        runs = {"zero_shot": [said(plain, plain)], "mta": [said(right, plain)]}
        table.add(Cell("set", shift, 3), runs)
    pooled = {one.contender: one for one in table.pooled()}
    assert pooled["mta"].cells == 4
    assert pooled["mta"].difference_error == pytest.approx(table.rows[1].difference_error)
    assert pooled["mta"].zero_shot == pytest.approx(100 * plain.mean())


def test_every_row_has_the_cost_of_a_frame():
    plain, table = np.zeros(10), Table((Contender("zero_shot"), Contender("mta")))
    runs = {"zero_shot": [said(plain, plain)], "mta": [said(plain, plain, views=64)]}
    table.add(Cell("set"), runs)
    table.costs({"none": 0.005}, {("set", "zero_shot"): 0.0, ("set", "mta"): 0.002})
    assert [one.encode_seconds for one in table.rows] == pytest.approx([0.005, 0.32])
    assert "320 + 2.0" in detail(table.rows)[3]


def test_cells_name_what_they_were_made_with():
    made = cells(["a"], ["none", "noise"], [2, 5], ["none", "tome:keep=0.5"])
    assert [one.shown for one in made] == ["clean", "clean", "noise 2", "noise 2", "noise 5", "noise 5"]
    assert str(made[2]) == "noise2(0.08)"
    assert str(made[3]) == "noise2(0.08)-tome-keep0.5"
    with pytest.raises(ValueError, match="rain"):
        cells(["a"], ["rain"], [1], ["none"])
