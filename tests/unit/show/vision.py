"""How colors look to people who do not see all of them, on grey paper, and how far apart they lie.

Source: Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of
Color Vision Deficiency", severity 1, on linear RGB. Contrast: WCAG 2.2, relative luminance.
"""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

MATRICES = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "grey": np.array([[0.2126, 0.7152, 0.0722]] * 3),
}


def linear(srgb):
    """Linear RGB of sRGB values, 0 to 1."""
    srgb = np.asarray(srgb, dtype=float)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def simulated(srgb, vision):
    """What `vision` sees of sRGB values (..., 3), as sRGB values."""
    seen = np.clip(linear(srgb) @ MATRICES[vision].T, 0, 1)
    return np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


def luminance(color, vision="full"):
    """Relative luminance of a color, 0 to 1."""
    return float(linear(simulated(to_rgb(color), vision)) @ MATRICES["grey"][0])


def contrast(one, other, vision="full"):
    """Contrast of two colors, 1 to 21."""
    low, high = sorted(luminance(color, vision) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def difference(one, other, vision="full"):
    """Distance of two colors in CIELAB (CIE 1976); about 2.3 is just noticeable."""
    return float(np.linalg.norm(_lab(one, vision) - _lab(other, vision)))


def _lab(color, vision):
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = to_xyz @ linear(simulated(to_rgb(color), vision)) / to_xyz.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
