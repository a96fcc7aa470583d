"""The images: scikit-learn's 8x8 digits, which come with it, and Fashion-MNIST where it is there."""

from __future__ import annotations

import functools
import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import digits

# Where Debian's package dataset-fashion-mnist puts it (Xiao, Rasul, Vollgraf 2017).
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
HELD_OUT = 297  # digits, of 1797
LARGEST = 1 << 30  # bytes of an idx file's numbers


@dataclass(frozen=True)
class Images:
    """Images [N, pixels] in [0, 1], float32, and what they show, [N]; some to train on and others to test with."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    @property
    def side(self) -> int:
        """Pixels along an edge."""
        return math.isqrt(self.train.shape[1])


def find(folder: Path | None) -> Path | None:
    """Returns the folder with Fashion-MNIST, or files like it: the one that is named, else Debian's, if it is there.

    Raises:
        FileNotFoundError: the folder that is named lacks a file.
    """
    if folder is None:
        return DEBIAN if all(_path(DEBIAN, name) for name in FILES["train"] + FILES["test"]) else None
    for name in FILES["train"] + FILES["test"]:
        if _path(folder, name) is None:
            raise FileNotFoundError(f"--data: {folder} has neither {name} nor {name}.gz")
    return folder


@functools.lru_cache(maxsize=2)
def load(name: str, folder: Path | None) -> Images:
    """Returns the images of a name, `digits` or `fashion`."""
    if name == "digits":
        images, labels = digits.load()
        order = np.random.default_rng(0).permutation(len(images))  # they come writer by writer
        images, labels = images[order], labels[order]
        cut = len(images) - HELD_OUT
        return Images(images[:cut], labels[:cut], images[cut:], labels[cut:])
    if name != "fashion" or folder is None:
        raise ValueError(f"data: got {name!r}, want digits, or fashion where its folder is known")
    train, test = (
        [read_idx(path) for file in FILES[part] if (path := _path(folder, file))] for part in ("train", "test")
    )
    return Images(_flat(train[0]), train[1].astype(np.int64), _flat(test[0]), test[1].astype(np.int64))


def read_idx(path: Path) -> np.ndarray:
    """Reads an idx file of bytes, as it is or compressed by gzip.

    Raises:
        ValueError: it is none, or not as long as it says.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(4)
        if len(head) != 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 3:
            raise ValueError(f"{path}: begins with {head.hex()}, want an idx file of bytes with 1 to 3 axes")
        raw = file.read(4 * head[3])
        shape = tuple(int.from_bytes(raw[4 * axis : 4 * axis + 4], "big") for axis in range(head[3]))
        size = int(np.prod(shape, dtype=object))
        if size > LARGEST:
            raise ValueError(f"{path}: says that it has {size} numbers, want at most {LARGEST}")
        body = file.read(size + 1)
        if len(body) != size:
            raise ValueError(f"{path}: has not the {size} numbers that it says it has")
    values: np.ndarray = np.frombuffer(body, np.uint8).reshape(shape)
    return values


def _flat(images: np.ndarray) -> np.ndarray:
    flat: np.ndarray = (images.reshape(len(images), -1) / np.float32(255)).astype(np.float32)
    return flat


def _path(folder: Path, name: str) -> Path | None:
    """Returns the file of a name, compressed or not, None if there is none."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
