"""Photos and models by name, the cached results of the models on the photos, and their files."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from facesegkit.course.explorer.photos import (
    NamedPhoto,
    PhotoSource,
    as_file_name,
    sample_photos,
    unused,
)
from facesegkit.course.explorer.pictures import (
    ViewOptions,
    draw_difference,
    draw_numbers,
    draw_view,
    kept,
    positions,
)
from facesegkit.course.explorer.results import Comparison, ExplorerResult, Region
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox
from facesegkit.inference.model_zoo import MODEL_NAMES, is_shipped
from facesegkit.inference.search_config import MIN_CONFIDENCE
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import render

if TYPE_CHECKING:
    from facesegkit.checkpoint import Checkpoint
    from facesegkit.inference.onnx_model import Model

# A photo of 12 megapixels takes 48 MB and its class map 12. A result holds its photo.
_PHOTOS, _RESULTS = 2, 4
_REGIONS = 6  # of the screen's size, 7 MB each
_LARGE = 16_000_000  # pixels; of larger photos only the last one is kept
_MAX_UPLOADED = 100_000_000  # bytes of all uploaded files; the oldest are dropped

_DEFAULTS = ViewOptions()
FILES = {"mask": "image/png", "overlay": "image/png", "cut-out": "image/png",
         "json": "application/json"}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The model, by name, and how it searches for faces."""

    model: str
    search: str = "default"
    min_confidence: float = MIN_CONFIDENCE


class Exploration:
    """Photos and models by name, and the cached results of the models on the photos.

    Everything that the explorer computes; it needs no widgets.
    """

    def __init__(self) -> None:
        self.photos: dict[str, NamedPhoto] = sample_photos()
        self.models: dict[str, FaceSegmenter | str] = {name: name for name in MODEL_NAMES}
        self.photo = lru_cache(maxsize=_PHOTOS)(self._read)
        self._segment = lru_cache(maxsize=_RESULTS)(self._run)
        self._compare = lru_cache(maxsize=1)(self._compared)
        self._region = lru_cache(maxsize=_REGIONS)(self._cut)
        self._segmenter = lru_cache(maxsize=4)(self._make_segmenter)

    def add_photo(self, name: str, content: PhotoSource) -> str:
        """Add a photo before all others and return its name, with a number if it was taken.

        Raises a FaceSegKitError if it cannot be read; it is not added then.
        """
        name, before = unused(Path(name).name or "photo", self.photos), self.photos
        python = f"Image.open({str(content)!r})" if isinstance(content, Path) else ""
        self.photos = {name: NamedPhoto(name, content, python=python), **before}
        try:
            self.photo(name)
        except FaceSegKitError:
            self.photos = before
            raise
        self._drop_old_uploads()
        return name

    def _drop_old_uploads(self) -> None:
        held = 0
        for name, photo in list(self.photos.items()):
            held += len(photo.source) if isinstance(photo.source, bytes) else 0
            if isinstance(photo.source, bytes) and held > _MAX_UPLOADED:
                del self.photos[name]
                self._make_room()  # another photo may get this name

    def add_model(self, model: FaceSegmenter | Model | Checkpoint | Path | str) -> str:
        """Add a model, unless it is a shipped one, and return its name.

        Raises a FaceSegKitError if there is no such model, or its file is damaged.
        """
        if isinstance(model, str) and is_shipped(model):
            return model
        name = Path(model).name if isinstance(model, (str, Path)) else "your model"
        name = unused(name, self.models)
        self.models[name] = model if isinstance(model, FaceSegmenter) else FaceSegmenter(model)
        return name

    def _read(self, name: str) -> Image.Image:
        photo = self.photos[name].load()
        if photo.width * photo.height > _LARGE:
            self._make_room()
        return photo

    def _make_room(self) -> None:
        self.photo.cache_clear()
        self._forget_results()

    def _forget_results(self) -> None:
        for cached in (self._segment, self._compare, self._region):
            cached.cache_clear()

    def has_search(self, model: str) -> bool:
        """Whether the settings of the search apply: not to a segmenter with a search of its own."""
        return isinstance(self.models[model], str)

    def _make_segmenter(self, settings: Settings) -> FaceSegmenter:
        model = self.models[settings.model]
        if isinstance(model, FaceSegmenter):
            return model
        search, lowest = settings.search, settings.min_confidence
        return FaceSegmenter(model, search=search, min_confidence=lowest)

    def _run(self, photo: str, settings: Settings) -> ExplorerResult:
        image, segmenter = self.photo(photo), self._segmenter(settings)
        if image.width * image.height > _LARGE:
            self._forget_results()
        start = time.perf_counter()
        segmentation = segmenter(image)
        return ExplorerResult.of(segmentation, time.perf_counter() - start)

    def segment(self, photo: str, settings: Settings) -> ExplorerResult:
        """Result for all faces of a photo, by name.

        Raises a FaceSegKitError if the photo or the model cannot be read.
        """
        if not self.has_search(settings.model):
            settings = Settings(settings.model)
        return self._segment(photo, settings)

    def compare(self, photo: str, first: Settings, second: Settings) -> Comparison:
        """Two models on a photo; raises as `segment`."""
        return self._compare(photo, first, second)

    def _compared(self, photo: str, first: Settings, second: Settings) -> Comparison:
        results = (self.segment(photo, settings).segmentation for settings in (first, second))
        return Comparison.of(*results)

    def region(self, photo: str, settings: Settings, face: int) -> Region:
        """The part of a photo that shows all faces (0), or one, by its number; as `segment`."""
        box = self.segment(photo, settings).box_of_face(face)
        return self._region(photo, settings, box, face)

    def _cut(self, photo: str, settings: Settings, box: BBox, face: int) -> Region:
        return self.segment(photo, settings).region(box, face)

    def picture(self, photo: str, settings: Settings, options: ViewOptions) -> Image.Image:
        """The image to display, RGB, no side longer than `SCREEN_SIDE`; raises as `segment`."""
        result = self.segment(photo, settings)
        region = self.region(photo, settings, options.face)
        picture = draw_view(region, result.segmentation.scheme, options)
        if options.boxes and not options.face:
            draw_numbers(picture, positions(result.faces, region))
        return picture

    def second_region(self, photo: str, settings: tuple[Settings, Settings], face: int) -> Region:
        """The second model's result for the part of the photo that `region` shows."""
        box = self.segment(photo, settings[0]).box_of_face(face)
        return self._region(photo, settings[1], box, 0)

    def second_picture(
        self, photo: str, settings: tuple[Settings, Settings], options: ViewOptions
    ) -> Image.Image:
        """The second model's view of the part of the photo that `picture` shows."""
        region = self.second_region(photo, settings, options.face)
        scheme = self.segment(photo, settings[1]).segmentation.scheme
        return draw_view(region, scheme, options)

    def difference(
        self, photo: str, settings: tuple[Settings, Settings], options: ViewOptions
    ) -> Image.Image:
        """Where two models disagree, in the part of the photo that `picture` shows."""
        region = self.region(photo, settings[0], options.face)
        return draw_difference(region, self.compare(photo, *settings), options.part)

    def file(
        self, kind: str, photo: str, settings: Settings, options: ViewOptions = _DEFAULTS
    ) -> tuple[str, bytes]:
        """Name and content of a file (one of FILES) at the photo's own size; raises as `segment`.

        It shows the chosen face and class only. Raises a FaceSegKitError if there is nothing to
        save, since no face was found.
        """
        result = self.segment(photo, settings).selection(options.face)
        if not result.labels.any():
            raise FaceSegKitError("There is nothing to save: no face was found in this photo.")
        which = f"_face-{options.face}" if options.face else ""
        name = f"{as_file_name(photo)}_{as_file_name(settings.model)}{which}_{kind}"
        if kind == "json":
            about = {**result.to_dict(), "photo": photo}
            return f"{name}.json", (json.dumps(about) + "\n").encode()
        result = replace(result, labels=kept(result.labels, result.scheme, options.part))
        shown = result.scheme.classes if options.part not in result.scheme.classes else ()
        if kind == "cut-out":
            image = result.cutout(*(shown or (options.part,)))
        else:
            image = render(result, kind)
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=3)
        return f"{name}.png", file.getvalue()

    def python(self, photo: str, settings: Settings) -> str:
        """Lines of Python that give the same result."""
        opened = self.photos[photo].opened_by
        arguments = [repr(settings.model) if is_shipped(settings.model) else "your_model"]
        if settings.search != "default" and self.has_search(settings.model):
            arguments.append(f"search={settings.search!r}")
        if settings.min_confidence != MIN_CONFIDENCE and self.has_search(settings.model):
            arguments.append(f"min_confidence={settings.min_confidence:g}")
        imports = "from PIL import Image"
        if opened.startswith("synthesize_face"):
            imports = "from facesegkit.synthetic import synthesize_face"
        elif opened.startswith("group_scene"):
            imports = "from facesegkit.course.explorer.photos import group_scene"
        call = f"FaceSegmenter({', '.join(arguments)})"
        return f"{imports}\nfrom facesegkit import FaceSegmenter\nresult = {call}({opened})\n"
