"""Conditions that a day outdoors puts between the scene and the sensor. All take uint8 [h, w, 3], 0 ≤ amount ≤ 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Condition = Callable[[Pixels, float, np.random.Generator], Pixels]


def day(pixels: Pixels, amount: float, chance: np.random.Generator) -> Pixels:
    """Clear: as it is."""
    return pixels


def dusk(pixels: Pixels, amount: float, chance: np.random.Generator) -> Pixels:
    """Four fifths of the light go, red first."""
    light = 1 - amount * np.array([0.82, 0.80, 0.72], np.float32)
    return (pixels * light).astype(np.uint8)


def noise(pixels: Pixels, amount: float, chance: np.random.Generator) -> Pixels:
    """A sensor at too high a gain: Gaussian, standard deviation up to 60 of 255."""
    grain = chance.standard_normal(pixels.shape, np.float32) * (60 * amount)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def fog(pixels: Pixels, amount: float, chance: np.random.Generator) -> Pixels:
    """Contrast drowns in light gray."""
    veil = 0.8 * amount
    return (pixels * np.float32(1 - veil) + np.float32(215 * veil)).astype(np.uint8)


def blur(pixels: Pixels, amount: float, chance: np.random.Generator) -> Pixels:
    """Out of focus: Gaussian, radius up to a fortieth of the shorter side."""
    radius = amount * min(pixels.shape[:2]) / 40
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


CONDITIONS: tuple[Condition, ...] = (day, dusk, noise, fog, blur)
"""In the order in which they come over the scene."""
