"""What `tta-service advise` would have seen of a cell: trials of every strategy, from replayed features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from tta_service.core.catalogue import strategies
from tta_service.core.labels import LabelSet
from tta_service.evaluate import metrics
from tta_service.evaluate.advise.judge import Trial
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.features import FeatureFiles
from tta_service.evaluate.replay import Take
from tta_service.evaluate.runs import Run

from .sweep import Sweep

LOOKED_AT = 256  # pictures, as `tta-service advise` does by default


def looked_at(count: int) -> int:
    """So many of a cell's pictures the advice sees; it is judged on the others, of which there are as many at least."""
    return min(LOOKED_AT, count // 2)


@dataclass(frozen=True)
class Half:
    """One half of a cell's crops, with the plain view: what a strategy sees, or what judges it."""

    features: FeatureFiles
    first: int  # of the crops
    count: int  # crops

    def rows(self, picture: int) -> NDArray[np.float32]:
        """[1 + count, d]."""
        whole = self.features.rows(picture, self.first + self.count)
        return np.concatenate([whole[:1], whole[self.first :]])


def trials_of(
    study: Sweep, cell: Cell, contenders: tuple[Contender, ...], views: int, row: float, bar: tqdm
) -> tuple[list[Trial], dict[str, Run]]:
    """Trials over the first of the cell's pictures, plain CLIP first; and every contender's run over all of them.

    `views` rows of each picture are there: a strategy sees half of them. `row`: seconds of encoding one view.
    """
    made, chosen = study.set(cell), study.choose(cell)
    crops = study.extractor.rows(cell, "crop", views, chosen, lambda n: None)
    named = study.extractor.rows(cell, "named", 10, chosen, lambda n: None)
    half = views // 2
    first, second = Half(crops, 1, half - 1), Half(crops, half, views - half)
    looked = looked_at(len(chosen))
    runs = {one.strategy: _runs(study, cell, one, first, second, named, looked, bar) for one in contenders}
    text = study.extractor.clip.text_space(LabelSet(made.names, made.templates))
    trials = []
    for one in contenders:
        forth, back = (run.by_picture() for run in runs[one.strategy][:2])
        pictures = forth.picture.tolist()
        needs = one.needs
        random = needs.views > 1 and needs.augment != "named"
        judges = [second.rows(i)[1:] if random else crops.rows(i, views)[1:] for i in pictures]
        unseen = (text.scale * torch.from_numpy(np.stack(judges)) @ text.features.T).softmax(-1).mean(1)
        trials.append(
            Trial(
                strategy=strategies.build(one.strategy, one.parameters),
                labels=torch.from_numpy(forth.scores.argmax(1)),
                plain=torch.from_numpy(forth.zero_shot),
                again=torch.from_numpy(back.scores.argmax(1)),
                unseen=unseen,
                entropy=float(metrics.entropy(forth.scores).mean() / np.log(forth.scores.shape[1])),
                views=needs.views,
                seconds=needs.views * row + float(np.median(forth.seconds)),
            )
        )
    return trials, {name: some[2].by_picture() for name, some in runs.items()}


def _runs(
    study: Sweep, cell: Cell, one: Contender, first: Half, second: Half, named: FeatureFiles, looked: int, bar: tqdm
) -> list[Run]:
    """The pictures looked at, forth and back (other crops, the opposite order); and all of them, as a stream of which
    those looked at are the beginning: what the advised strategy would go on with."""
    chosen, labels, views = study.choose(cell), study.set(cell).labels, one.needs.views

    def features(half: Half, pictures: NDArray[np.int64]) -> Callable[[int], NDArray[np.float32]]:
        if one.needs.augment == "named" and views > 1:
            return lambda frame: named.rows(int(pictures[frame]), views)
        return lambda frame: half.rows(int(pictures[frame]))[:views]

    takes = []
    plans = (("forth", first, chosen[:looked]), ("back", second, chosen[:looked][::-1]), ("whole", first, chosen))
    for stream, half, pictures in plans:
        path = study.path(cell, one, f"{len(pictures)}of{len(chosen)}-advice-{stream}{first.count}")
        takes.append(Take(one, features(half, pictures), pictures, labels[pictures], path))
    study.play(cell, takes, bar.update)
    return [Run.load(take.path) for take in takes]
