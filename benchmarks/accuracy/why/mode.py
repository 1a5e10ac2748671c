"""All experiments, one after another; written anew after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tqdm import tqdm

from . import clusters, crop_sizes, geometry, length, memory, prompts, scale, views
from .finding import Finding
from .ground import Ground

Experiment = Callable[[Ground], Finding | None]
EXPERIMENTS: dict[str, tuple[Experiment, ...]] = {
    "memory": (memory.orders, memory.slots),
    "sureness": (memory.sureness,),
    "geometry": (geometry.cosines, clusters.together),
    "scale": (scale.scales,),
    "length": (length.along, length.together),
    "views": (views.single, views.means_and_votes, crop_sizes.sizes),
    "prompts": (prompts.steps, prompts.along),
}


def measure(ground: Ground, wished: Sequence[str]) -> Iterator[list[Finding]]:
    """What was found so far, after each experiment. Raises ValueError for an unknown name."""
    if unknown := set(wished) - set(EXPERIMENTS):
        raise ValueError(f"--only {', '.join(sorted(unknown))}: there are {', '.join(EXPERIMENTS)}")
    plan = [one for name, some in EXPERIMENTS.items() if not wished or name in wished for one in some]
    found: list[Finding] = []
    with tqdm(plan, unit="experiment") as bar:
        for one in bar:
            bar.set_description(f"{one.__module__.rpartition('.')[2]} {one.__name__}")
            if (made := one(ground)) is not None:
                found.append(made)
                yield found


ABOUT = """\
Every table is measured by this command, straight through the strategies, on features that were encoded once; every
sentence below a table is chosen by its numbers. Gains are points of top-1 from the zero-shot answers of the same
frames, paired, ± one standard error over the frames; bold is beyond two, and some of the many must be so by chance. One
seeded order. Oracles that know the labels are there to find a reason, not to be used."""


def markdown(found: Sequence[Finding], about: Mapping[str, object], by_hand: str = "") -> str:
    """`by_hand`: conclusions written by hand in a file of their own, which names the run it is about."""
    lines = ["# Why the table says what it says", "", str(about["command"]), "", ABOUT, ""]
    lines += [f"{key}: {value}  " for key, value in about.items() if key != "command"]
    lines += ["", by_hand.strip(), ""] if by_hand.strip() else []
    return "\n".join([*lines, "", *(line for one in found for line in one.lines())])
