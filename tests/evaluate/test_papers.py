"""The published protocols name strategies, sets and figures that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tta_service.core.errors import BadRequest
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.layouts import FINE_GRAINED, IMAGENETS, LAYOUTS
from tta_service.evaluate.papers import (
    MEANS,
    choose_protocols,
    find_paper,
    find_sets,
    load_papers,
    make_plans,
    protocol_lines,
)
from tta_service.evaluate.stand_ins import write_stand_in

PAPERS, RERUNS, SOURCES = load_papers()


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_every_protocol_can_be_run(paper):
    models = [(one, model) for one in RERUNS for model in one.rows]
    assert paper.about and bool(paper.benchmarks_row) == any(one.figures(paper, model) for one, model in models)
    for protocol in paper.protocols:
        assert all(name in LAYOUTS for name in protocol.by_set())
        assert all(Contender.of(strategy) for strategy in protocol.by_set().values())
        assert protocol.templates in ("single", "papers") and protocol.source[0] in SOURCES
        assert protocol.figures and set(protocol.figures) <= {*LAYOUTS, *MEANS}


def test_figures_are_of_what_the_protocol_runs():
    for protocol in (one for paper in PAPERS.values() for one in paper.protocols):
        runs = protocol.by_set()
        assert all(set(MEANS.get(name, (name,))) <= set(runs) for name in protocol.figures), protocol.row


def test_the_sets_and_parameters_of_a_protocol_are_there():
    tda = find_paper("tda").protocols[0]
    assert {*IMAGENETS, *FINE_GRAINED} <= set(tda.by_set()) and tda.by_set()["dtd"] == "tda:alpha=2.0,beta=3.0"
    assert len([name for name in find_paper("ZERO").protocols[0].by_set() if name.startswith("imagenet_c/")]) == 75


def test_figures_of_another_benchmark_stand_beside_those_of_the_same_model():
    assert all(
        set(figures) <= {*LAYOUTS, *MEANS} for one in RERUNS for rows in one.rows.values() for figures in rows.values()
    )
    paper = find_paper("TPT")
    of = {one.model: one for one in paper.protocols}
    lines = {model: "\n".join(protocol_lines(paper, of[model], (), model)) for model in ("RN50", "ViT-B-16")}
    assert "TTA-VLM's re-run" in lines["RN50"] and "TTABC" not in lines["RN50"]
    assert "TTABC's re-run" in lines["ViT-B-16"] and "TTA-VLM" not in lines["ViT-B-16"]
    other = "\n".join(protocol_lines(find_paper("BoostAdapter"), find_paper("BoostAdapter").protocols[0], (), "RN50"))
    assert "TTA-VLM's re-run with RN50" in other and "do not compare" in other


def test_a_model_chooses_its_rows_and_what_is_not_there_is_said(tmp_path: Path):
    paper = find_paper("CLIP")
    assert [one.model for one in choose_protocols(paper, "RN50")] == ["RN50"]
    assert [one.model for one in choose_protocols(paper, "ViT-L-14")] == ["ViT-B-16"]
    with pytest.raises(BadRequest, match="none of the paper's sets"):
        find_sets(paper.protocols, tmp_path)
    write_stand_in("dtd", tmp_path)
    sets, missing = find_sets(paper.protocols, tmp_path)
    assert [one.name for one in sets] == ["dtd"] and any("imagenet_a" in sentence for sentence in missing)
    (plan,) = make_plans(paper.protocols[0], sets, 0, dry=False)
    assert not plan.guard and plan.data.templates == ("a photo of a {}.",) and len(plan.contenders) == 1
    (plan,) = make_plans(find_paper("TDA").protocols[0], sets, 0, dry=False)
    assert plan.data.templates == ("{} texture.",) and str(plan.contenders[1]) == "tda:beta=3.0"
    with pytest.raises(BadRequest, match="protocols of CLIP, TPT"):
        find_paper("nobody")
