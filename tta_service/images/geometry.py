"""The positions of deterministic views, shared by the CPU and GPU code that cuts them."""

from __future__ import annotations

from dataclasses import dataclass

Place = tuple[float, float, float, float]  # left, top, width, height in pixels of the picture
CROPS = ("top_left", "top_right", "bottom_left", "bottom_right", "centre")
CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0))  # of CROPS: across, down
NAMED = ("plain", "flip", *CROPS, "nine_tenths", "three_quarters", "three_fifths")
SQUARES = (0.9, 0.75, 0.6)  # of the shorter side
LONGEST = 32  # largest ratio of sides; a longer strip is cropped, or 1 × 8192 would become 224 × 1.8 million


@dataclass(frozen=True, slots=True)
class Square:
    """`size` pixels square, cut at `left`, `top` from a part of the picture after its resize to `whole`."""

    part: tuple[int, int, int, int]  # left, top, width, height in pixels of the picture
    whole: tuple[int, int]  # width and height that the part is resized to
    left: int
    top: int
    size: int

    @property
    def place(self) -> Place:
        """Its position in the picture, in pixels."""
        left, top, width, height = self.part
        across, down = width / self.whole[0], height / self.whole[1]
        return left + self.left * across, top + self.top * down, self.size * across, self.size * down


def centre_square(height: int, width: int, size: int) -> Square:
    """The plain view: shorter side to `size`, central square."""
    return _square(height, width, size, size, 0, 0)


def named_squares(height: int, width: int, size: int) -> list[Square]:
    """The squares of `NAMED`, in that order ("flip" has the plain one's).

    For the five crops the shorter side is resized to 8/7 of `size`.
    """
    plain, shorter = centre_square(height, width, size), round(8 * size / 7)
    crops = [_square(height, width, shorter, size, across, down) for across, down in CORNERS]
    squares: list[Square] = []
    for share in SQUARES:
        side = max(1, round(share * min(height, width)))
        squares.append(Square(((width - side) // 2, (height - side) // 2, side, side), (size, size), 0, 0, size))
    return [plain, plain, *crops, *squares]


def _square(height: int, width: int, shorter: int, size: int, across: int, down: int) -> Square:
    """A square of the picture with its shorter side resized to `shorter`; `across` and `down` are −1, 0 or 1."""
    part = _shorten_strip(height, width, across, down)
    w, h = part[2:]
    whole = shorter * w // min(w, h), shorter * h // min(w, h)  # truncated, as in torchvision
    return Square(part, whole, _offset(whole[0] - size, across), _offset(whole[1] - size, down), size)


def _offset(slack: int, where: int) -> int:
    return (0, round(slack / 2), slack)[where + 1]


def _shorten_strip(height: int, width: int, across: int, down: int) -> tuple[int, int, int, int]:
    """The end or the middle of a long strip; any other picture as it is."""
    most = LONGEST * min(height, width)
    w = width if width <= most else most + (width - most) % 2  # the same parity, so that the middle stays exact
    h = height if height <= most else most + (height - most) % 2
    return (0, (width - w) // 2, width - w)[across + 1], (0, (height - h) // 2, height - h)[down + 1], w, h
