"""What tpt.py measures, each in a process of its own: `compare` (time and agreement) and `peak` (memory)."""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tpt_plain import PlainTPT
from tpt_scene import RecordingPrompts, images, label_set, space, text_part, tokens_of

from tta_service import Evidence, TextSpace
from tta_service.strategies.tpt import TPT

KEEP = {"kept": 1 << 40, "recomputed": 0, "plain": 0}


@dataclass(frozen=True)
class Answer:
    logits: Tensor  # [c]
    gradient: Tensor  # [k, w]
    seconds: float  # of CPU
    pulled: int  # classes that the backward pass went through


def compare(names: str, classes: int, frames: int, plain_frames: int, threads: int) -> dict[str, Any]:
    """The plain way's few frames, if any, stand in the middle of ours, those that TPT changes before the others."""
    torch.set_num_threads(threads)
    clip = text_part()
    text = clip.text_space(label_set(names, classes))
    ways = {way: space(clip, text, KEEP[way]) for way in ("kept", "recomputed")}
    scenes = list(islice(images(text), frames))
    zero_shot = [int(Evidence(views, text).logits()[0].argmax()) for views in scenes]
    run_tpt(ways["kept"], scenes[0])  # the first call keeps the activations
    ours: dict[str, list[Answer]] = {"kept": [], "recomputed": []}
    half = frames // 2
    ours["kept"] += [run_tpt(ways["kept"], views) for views in scenes[:half]]
    changed = {i for i, answer in enumerate(ours["kept"]) if int(answer.logits.argmax()) != zero_shot[i]}
    first = sorted(changed)[: -(-2 * plain_frames // 3)]
    chosen = [*first, *(i for i in range(half) if i not in changed)][:plain_frames]
    plain_tpt = PlainTPT(clip.model, tokens_of(clip, text.labels), 4)
    plain: dict[int, Answer] = {}
    for i in chosen or [0]:
        if chosen:
            answer = plain_tpt.answer(scenes[i])
            plain[i] = Answer(answer.logits, answer.gradient, answer.seconds, classes)
        ours["recomputed"].append(run_tpt(ways["recomputed"], scenes[i]))
    ours["kept"] += [run_tpt(ways["kept"], views) for views in scenes[half:]]
    pairs = {
        "kept": [(ours["kept"][i], plain[i]) for i in chosen],
        "recomputed": list(zip(ours["recomputed"], plain.values(), strict=bool(plain))),
    }
    seconds = {way: statistics.median(one.seconds for one in some) for way, some in ours.items()}
    if plain:
        seconds["plain"] = statistics.median(one.seconds for one in plain.values())
    return {
        "names": names,
        "classes": classes,
        "own_tokens": int((tokens_of(clip, text.labels).argmax(-1) + 1 - 5).sum()),
        "frames": frames,
        "plain_frames": len(chosen),
        "plain_frames_changed": len(changed.intersection(chosen)),
        "pulled": statistics.mean(one.pulled for one in ours["kept"]) / classes,
        "seconds": seconds,
        "agreement": {way: agreement(some, [i in changed for i in chosen]) for way, some in pairs.items() if some},
    }


def run_tpt(text: TextSpace, views: Tensor) -> Answer:
    """What the engine runs, in the mode that it runs it in."""
    prompts = text.prompts
    assert isinstance(prompts, RecordingPrompts)
    start = time.process_time()
    logits, _ = TPT().adapt(Evidence(views, text), None)
    return Answer(logits, prompts.last, time.process_time() - start, prompts.asked)


def agreement(pairs: list[tuple[Answer, Answer]], changed: list[bool]) -> dict[str, float]:
    """Of ours with the plain way, over all its frames and over those whose answer TPT changes."""
    off = [float((a.gradient - b.gradient).abs().max() / b.gradient.abs().max()) for a, b in pairs]
    same = [bool(a.logits.argmax() == b.logits.argmax()) for a, b in pairs]
    return {
        "gradient_off": max(off),
        "logits_off": max(float((a.logits - b.logits).abs().max()) for a, b in pairs),
        "same": sum(same),
        "same_changed": sum(one for one, moved in zip(same, changed, strict=True) if moved),
    }


def peak(way: str, names: str, classes: int, threads: int) -> dict[str, Any]:
    """Bytes that stay between frames beside model and text space, and the most that one frame needs above them."""
    torch.set_num_threads(threads)
    clip = text_part()
    text = clip.text_space(label_set(names, classes))
    views = next(images(text))
    tokens = tokens_of(clip, text.labels)
    PlainTPT(clip.model, tokens[:2], 4).answer(views)  # so that libraries have loaded what they need
    plain, ours = PlainTPT(clip.model, tokens, 4, at_once=classes), space(clip, text, KEEP[way])
    before = _resident()
    if way != "plain":
        run_tpt(ours, views)  # the first call keeps the activations
    after = _resident()
    _forget_peak()
    if way == "plain":
        plain.answer(views)
    else:
        run_tpt(ours, views)
    return {"way": way, "names": names, "classes": classes, "resident": after - before, "peak": _peak() - after}


def _resident() -> int:
    """Of this process, once the allocator has given back what is free."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    print(json.dumps({"compare": compare, "peak": peak}[sys.argv[1]](**json.loads(sys.argv[2]))))
