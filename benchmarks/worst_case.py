"""How long the search takes on images that no one takes a photo of.

    python benchmarks/worst_case.py

Black, noise, tiles of one face, single pixels and extreme aspect ratios, as arrays, up to the 120
megapixels that are the limit for files. Once each, on one thread, after a photo that warms up, with
the default search and the thorough one. Writes benchmarks/results/worst_case.json.
"""

import time
from collections.abc import Callable

import numpy as np
from common import ASTRONAUT, save_results
from numpy.typing import NDArray
from PIL import Image

from facesegkit.image_io import read_photo
from facesegkit.inference.segmenter import FaceSegmenter


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def tiles(side: int, width: int, height: int) -> Image.Image:
    """The astronaut's face again and again."""
    face = read_photo(ASTRONAUT).crop((129, 11, 319, 201)).resize((side, side))
    row: NDArray[np.uint8] = np.tile(np.asarray(face), (1, width // side, 1))
    return Image.fromarray(np.tile(row, (height // side, 1, 1)))


IMAGES: dict[str, Callable[[], Image.Image]] = {
    "a pixel": lambda: Image.new("RGB", (1, 1)),
    "black, 20,000 x 10": lambda: Image.new("RGB", (20_000, 10)),
    "noise, 10 x 20,000": lambda: noise(10, 20_000),
    "black, 12 megapixels": lambda: Image.new("RGB", (4000, 3000)),
    "noise, 12 megapixels": lambda: noise(4000, 3000),
    "noise, 120 megapixels": lambda: noise(12_000, 10_000),
    "300 faces of 100 pixels": lambda: tiles(200, 4000, 3000),
}


def main() -> None:
    results = {}
    for search in ("default", "thorough"):
        segmenter = FaceSegmenter(search=search)
        segmenter(ASTRONAUT)
        for name, make in IMAGES.items():
            image = make()
            started = time.perf_counter()
            found = segmenter(image)
            ms = 1000 * (time.perf_counter() - started)
            results[f"{name}, search {search}"] = {
                "megapixels": image.width * image.height / 1e6,
                "ms": round(ms, 1),
                "faces": len(found.faces),
            }
            print(name, search, results[f"{name}, search {search}"], flush=True)
    save_results("worst_case", results)


if __name__ == "__main__":
    main()
