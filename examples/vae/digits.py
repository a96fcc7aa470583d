"""Writes scikit-learn's 8x8 digits (1797 scans, Alpaydin and Kaynak 1998, UCI optdigits) as .npy files.

Needs numpy and scikit-learn only, so that the example has something to show before torch is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def load() -> tuple[np.ndarray, np.ndarray]:
    """Returns the images, [1797, 64] in [0, 1], float32, and what they show, [1797]."""
    digits = load_digits()
    return (digits.data / 16).astype(np.float32), digits.target


def main() -> None:
    """Writes the threes and the eights to the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = load()
    for digit, name in ((3, "threes"), (8, "eights")):
        np.save(folder / f"{name}.npy", images[labels == digit])


if __name__ == "__main__":
    main()
