"""Simulated lighting, weather and sensor conditions. All take pixels [h, w, 3] uint8 and an amount from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Condition = Callable[[Pixels, float, np.random.Generator], Pixels]


def day(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """A clear day: no change."""
    return pixels


def dusk(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """Removes up to four fifths of the light, red most."""
    light = 1 - amount * np.array([0.82, 0.80, 0.72], np.float32)
    return (pixels * light).astype(np.uint8)


def noise(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """Adds the Gaussian noise of a high gain, with a standard deviation of up to 60 of 255."""
    grain = rng.standard_normal(pixels.shape, np.float32) * (60 * amount)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def fog(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """Blends with light gray, up to 80 %."""
    veil = 0.8 * amount
    return (pixels * np.float32(1 - veil) + np.float32(215 * veil)).astype(np.uint8)


def blur(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """Out of focus: Gaussian blur, with a radius of up to a fortieth of the shorter side."""
    radius = amount * min(pixels.shape[:2]) / 40
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


CONDITIONS: tuple[Condition, ...] = (day, dusk, noise, fog, blur)
"""In the order in which the virtual camera applies them."""
