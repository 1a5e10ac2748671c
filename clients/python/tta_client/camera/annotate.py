"""Draws an answer on its frame.

Pillow draws, which the extra has anyway: supervision would bring SciPy and matplotlib for what is one caption.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..types.answers import Answer, FrameAnswer
from .masking import mask_secrets
from .results import Result

FONTS = "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "Arial Unicode.ttf"
GREEN, AMBER, RED, WHITE, GRAY = (74, 222, 128), (251, 191, 36), (248, 113, 113), (255, 255, 255), (190, 190, 190)
COLOURS = {"defer": AMBER, "none_of_these": RED}
MAX_BOXES = 5  # crops of kept views that are drawn, those of the largest weights


def annotate(pixels: Any, result: Result) -> Any:
    """A copy of a frame [h, w, 3] uint8 RGB with a caption over its lower edge, and the crops that counted most.

    The caption has the label with its confidence, the stable label, the zero-shot label, the decision unless it is to
    answer, the strategy with its views, and the age; or the error of a frame that failed.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(11, min(image.width // 22, image.height // 13))
    if isinstance(result, FrameAnswer):
        for box, weight in _find_kept_boxes(result.answer):
            corners = [side * (image.width, image.height)[place % 2] for place, side in enumerate(box)]
            draw.rectangle(corners, outline=(*WHITE, 90 + round(150 * weight)), width=max(1, size // 12))
        head, tail, colour, share = _make_caption(result)
    else:
        head, tail, colour, share = "failed", mask_secrets(result.error.sentence), RED, 0.0
    small = max(9, round(size * 0.52))
    height = round(size * 1.35 + small * 1.5)
    top = image.height - height
    draw.rectangle((0, top, image.width, image.height), fill=(0, 0, 0, 165))
    draw.rectangle((0, top, round(image.width * share), top + max(2, size // 8)), fill=(*colour, 255))
    left = size // 2
    _write(draw, (left, top + size * 0.25), head, size, colour, image.width - 2 * left)
    _write(draw, (left, top + size * 1.35 + small * 0.1), tail, small, GRAY, image.width - 2 * left)
    return np.asarray(image)


def _make_caption(result: FrameAnswer) -> tuple[str, str, tuple[int, int, int], float]:
    """The large line, the small one, the colour of both the first and the bar, and the bar's length."""
    answer, confidence = result.answer, result.answer.confidence
    share = confidence.confidence if confidence else answer.score
    decision = confidence.decision if confidence else "answer"
    head = f"{answer.label}  {share:.0%}"
    if decision in COLOURS:
        head += "  left to a person" if decision == "defer" else "  none of these"
    parts = [f"stable: {confidence.stable_label}"] if confidence and confidence.stable_label else []
    if answer.zero_shot:
        parts.append(f"zero-shot: {answer.zero_shot[0].label} {answer.zero_shot[0].score:.0%}")
    parts += [f"{answer.strategy.name}{_describe_views(answer)}", f"{result.age * 1000:.0f} ms"]
    return head, "  |  ".join(parts), COLOURS.get(decision, GREEN), min(1.0, max(0.0, share))


def _describe_views(answer: Answer) -> str:
    views = (answer.explanation or {}).get("views", ())
    kept = sum(bool(view["kept"]) for view in views)
    return f", {kept}/{len(views)} views kept" if len(views) > 1 else f", {answer.views} views" * (answer.views > 1)


def _find_kept_boxes(answer: Answer) -> Iterator[tuple[tuple[float, float, float, float], float]]:
    """Left, top, right and bottom (0 to 1) of the crops that counted most, with weights relative to the largest."""
    views: list[Mapping[str, Any]] = list((answer.explanation or {}).get("views", ()))[1:]  # the first is the picture
    kept = sorted((view for view in views if view["kept"]), key=lambda view: -view["weight"])[:MAX_BOXES]
    for view in kept:
        box = view["left"], view["top"], view["left"] + view["width"], view["top"] + view["height"]
        yield box, view["weight"] / max(kept[0]["weight"], 1e-9)


def _write(draw: Any, at: tuple[float, float], text: str, size: int, colour: Any, width: float) -> None:
    """One line of text, cut to the width."""
    font, unicode = _load_font(size)
    text = " ".join(text.split()) if unicode else _to_ascii(text)
    if draw.textlength(text, font=font) > width:
        while text and draw.textlength(text + "...", font=font) > width:
            text = text[:-1]
        text += "..."
    draw.text(at, text, font=font, fill=(*colour, 255))


@lru_cache(maxsize=8)
def _load_font(size: int) -> tuple[Any, bool]:
    """A font of this machine; else Pillow's own, which has ASCII alone."""
    from PIL import ImageFont

    for name in FONTS:
        try:
            return ImageFont.truetype(name, size), True
        except OSError:
            continue
    return ImageFont.load_default(size), False


def _to_ascii(text: str) -> str:
    """Letters without their accents; ? for what has no ASCII letter."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return plain.encode("ascii", "replace").decode()
