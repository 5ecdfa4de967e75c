"""Detection and segmentation on kinds of photos that are known to be hard.

    python benchmarks/hard_photos.py --data data/CelebAMask-HQ --split test --keep

Each kind has 120 faces of the data set with exact ground truth: people are pasted onto synthetic
backgrounds, as in any_photo.py, or aligned photos are downsampled, cropped and recoloured. Measured
as there: recall, mean F1 over the pixels of the true ROIs, false detections. --keep writes
benchmarks/results/hard_photos.json.
"""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from any_photo import HEAD, Scene, Tally, darken, parser_of, paste_person
from common import save_results
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.geometry import FaceROI, aligned_roi, wrap_angle
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES
from facesegkit.synthetic.background import background

FACES = 120  # of each kind


class Maker:
    """Makes the photos of one kind; always the same ones."""

    def __init__(self, cache: DatasetCache, rows: NDArray[np.int64], seed: int) -> None:
        self.cache, self.rows = cache, rows
        self.rng = np.random.default_rng([17, seed])

    def scene(self, size: tuple[int, int], rois: list[FaceROI]) -> Scene:
        """People on a synthetic background, later ones over earlier ones."""
        back = Image.fromarray((background(self.rng) * 255).astype(np.uint8))
        photo = back.resize(size, Image.Resampling.BILINEAR)
        classes = Image.new("L", size)
        for roi in rois:
            paste_person(photo, classes, roi, self.cache, int(self.rng.choice(self.rows)))
        return Scene("", photo, np.asarray(classes), rois, [False] * len(rois))

    def aligned(self, side: int) -> Scene:
        """A photo of the data set as it is."""
        row = int(self.rng.choice(self.rows))
        labels = FIVE_FEATURES.merge(np.array(self.cache.labels[row]))
        photo = Image.fromarray(self.cache.photos[row]).resize((side, side))
        classes = Image.fromarray(labels).resize((side, side), Image.Resampling.NEAREST)
        return Scene("", photo, np.asarray(classes), [aligned_roi((side, side))], [False])

    def roi(self, x: float, y: float, head: float, degrees: float = 0) -> FaceROI:
        angle = math.radians(degrees + self.rng.normal(0, 6))
        return FaceROI(x, y, head / HEAD, wrap_angle(angle))

    def upright(self) -> Scene:
        return self.scene((1024, 768), [self.roi(512, 384, self.rng.uniform(150, 400))])

    def thumbnail(self) -> Scene:
        return self.aligned(64)

    def close_up(self) -> Scene:
        """Brows to chin fill the photo."""
        whole = self.aligned(512)
        box = (112, 160, 400, 448)
        roi = FaceROI(256 - box[0], 256 - box[1], 512, 0.0)
        photo, classes = whole.photo.crop(box), Image.fromarray(whole.classes).crop(box)
        return Scene("", photo, np.asarray(classes), [roi], [True])

    def panorama(self) -> Scene:
        x = self.rng.uniform(200, 3000)
        return self.scene((3200, 320), [self.roi(x, 160, 200)])

    def crowd(self) -> Scene:
        """Heads of 40 pixels in 12 megapixels."""
        xs = range(300, 4000, 370)
        return self.scene((4000, 3000), [self.roi(x, self.rng.uniform(300, 2700), 40) for x in xs])

    def upside_down(self) -> Scene:
        head = self.rng.uniform(150, 400)
        return self.scene((1024, 768), [self.roi(512, 384, head, degrees=180)])

    def overlapping(self) -> Scene:
        """The one in front hides up to half of the other's head."""
        head = self.rng.uniform(200, 300)
        apart = self.rng.uniform(0.5, 0.8) * head
        behind, front = (self.roi(512 + side * apart / 2, 384, head) for side in (-1, 1))
        return self.scene((1024, 768), [behind, front])

    def black_and_white(self) -> Scene:
        scene = self.upright()
        return replace(scene, photo=ImageOps.grayscale(scene.photo).convert("RGB"))

    def very_dark(self) -> Scene:
        """A thirtieth of the light."""
        scene = self.upright()
        return replace(scene, photo=darken(scene.photo, 1 / 30, self.rng))

    def strong_jpeg(self) -> Scene:
        """Downsampled to a head of 100 pixels and compressed, as messengers do."""
        scene = self.upright()
        times = 100 / (scene.rois[0].size * HEAD)
        size = (round(1024 * times), round(768 * times))
        file = io.BytesIO()
        scene.photo.resize(size).save(file, "JPEG", quality=20)
        photo = Image.open(file).convert("RGB")
        classes = Image.fromarray(scene.classes).resize(size, Image.Resampling.NEAREST)
        return Scene("", photo, np.asarray(classes), [scene.rois[0].scaled(times)], scene.cut)


KINDS: dict[str, Callable[[Maker], Scene]] = {
    "upright, for comparison": Maker.upright,
    "upside down": Maker.upside_down,
    "black and white": Maker.black_and_white,
    "a thirtieth of the light": Maker.very_dark,
    "a head of 100 pixels, JPEG of quality 20": Maker.strong_jpeg,
    "a thumbnail of 64 x 64": Maker.thumbnail,
    "brows to chin fill the photo": Maker.close_up,
    "a panorama of 3200 x 320": Maker.panorama,
    "heads of 40 pixels in 12 megapixels, search thorough": Maker.crowd,
    "two heads that overlap": Maker.overlapping,
}


def evaluate_kind(kind: str, maker: Maker, segmenter: FaceSegmenter) -> dict[str, Any]:
    """Recall, mean F1, false detections per photo and milliseconds of one kind."""
    tally = Tally()
    faces = photos = 0
    while faces < FACES:
        scene = KINDS[kind](maker)
        tally.segment(scene, segmenter)
        faces, photos = faces + len(scene.rois), photos + 1
    summary = tally.summary()
    return {
        "photos": photos,
        **summary["groups"]["all"],
        "false faces per photo": round(tally.false_faces.total() / photos, 3),
        "milliseconds": summary["milliseconds per scene, one thread, median"],
    }


def main() -> None:
    options = parser_of(__doc__.splitlines()[0]).parse_args()
    cache = build_cache(options.data, options.cache)
    kinds = {}
    for number, kind in enumerate(KINDS):
        search = "thorough" if "12 megapixels" in kind else "default"
        segmenter = FaceSegmenter(options.model, search=search)
        maker = Maker(cache, cache.rows(options.split), seed=number)
        kinds[kind] = evaluate_kind(kind, maker, segmenter)
        print(kind, kinds[kind], flush=True)
    if options.keep:
        results = {"model": options.model, "split": options.split, "kinds": kinds}
        save_results("hard_photos", results)


if __name__ == "__main__":
    main()
