"""Writes published.md from the package's data: the papers' figures, those of re-runs, and the command of each.

python benchmarks/published.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tta_service.evaluate.papers import SHORT, load_papers

MODELS = {"ViT-B-16": "ViT-B/16", "RN50": "RN50"}
FILE = Path(__file__).with_suffix(".md")
HEAD = """\
# The papers' numbers, and the command beside each

For readers who have the weights and the data. None of these rows was measured here: this table says what to expect, and
what would produce it. ViT-B/16 unless noted. A paper's number is to be compared with *its own* plain CLIP: half of many
a published gain is the text. {sources}

`DATA` is a folder in the layout of CoOp's DATASETS.md; class names come with it. With `--dry-run` a command runs on
made-up pictures in the same layout with the bundled model, which proves that it works and nothing else. The data of
this page are in [papers.json](../tta_service/evaluate/papers.json); [docs/evaluate.md](../docs/evaluate.md) has the
options.

Our differences from the published code are in each strategy's docstring. ADAPT's and DMN's tables use prototypes from
language models or choose a weight on test labels, so they have no row here; Self-TPT, SwapPrompt and others without
public code claim no number."""


def write() -> str:
    """The page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    papers, reruns, sources = load_papers()
    yield HEAD.format(sources=" ".join(f"**{key}**: {value}." for key, value in sources.items()))
    for paper in papers.values():
        rows = [(one.row + (f" ({one.note})" if one.note else ""), one.figures, one.source) for one in paper.protocols]
        rows += [
            (f"{one.name}'s re-run, {MODELS[model]}", figures, one.name)
            for one in reruns
            for model in one.rows
            if (figures := one.figures(paper, model))
        ]
        yield from ("", f"## {paper.name}", "", paper.about, "", *_table(rows), "")
        yield f"    tta-service evaluate DATA --paper {paper.name}"
        if any(one.model == "RN50" for one in paper.protocols):
            yield f"    tta-service evaluate DATA --paper {paper.name} --model RN50 --pretrained openai"
    yield from ("", "## Two benchmarks that judge alike", "")
    yield "Both ran these methods again with one code, and their figures differ from the papers'."
    for one in reruns:
        yield from ("", f"**{one.name}**, {one.about}")
    yield ""


def _table(rows: list[tuple[str, Mapping[str, float], str]]) -> Iterator[str]:
    shown = [name for name in SHORT if any(name in figures for _, figures, _ in rows)]
    yield f"| row | {' | '.join(SHORT[name] for name in shown)} | source |"
    yield "|---" * (len(shown) + 2) + "|"
    for row, figures, source in rows:
        cells = [f"{figures[name]:g}" if name in figures else "" for name in shown]
        yield f"| {row} | {' | '.join(cells)} | {source} |"


if __name__ == "__main__":
    FILE.write_text(write(), "utf-8")
