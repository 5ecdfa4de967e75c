"""Interactive exploration of models and photos: `Explorer()` in a notebook.

`Exploration` computes what is shown; `Explorer` consists of the widgets around it.
"""

from __future__ import annotations

import io
import re
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from html import escape
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facesegkit.course.lesson_data import course_file, portraits
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_photo, shrink_to, upright_rgb
from facesegkit.inference.alignment import box_of
from facesegkit.inference.model_zoo import DEFAULT_MODEL, MODEL_NAMES, is_shipped, licence_notice
from facesegkit.inference.results import Face, SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import overlay, render, save_view
from facesegkit.labels import Colour
from facesegkit.synthetic import synthesize_face

if TYPE_CHECKING:
    from facesegkit.checkpoint import Checkpoint
    from facesegkit.inference.onnx_model import Model

VIEWS = {
    "overlay": "the photo with the colours of the parts on top",
    "mask": "the colours of the parts on black",
    "contours": "the contours of the parts",
    "confidence": "black where the model is confident, orange to white where it is not",
}

PREVIEW_SIDE = 640  # longest side of the displayed image, in pixels
_SCREEN_SIDE = 520  # and of the area that it fills on the screen
_LARGE = 16_000_000  # pixels

_ASTRONAUT = course_file("figures/astronaut.jpg")
_ASTRONAUTS_FACE = (129, 11, 319, 201)
_SYNTHETIC = (55, 160, 150)  # indices of synthetic faces with seed 0

# Sources of the samples, by a regular expression of their names.
_CREDITS = {
    r"astronaut, \w+": "NASA, public domain",
    r"portrait \d+": "unitedstates/images; U.S. Government Publishing Office and other US federal "
    "sources; public domain",
}

_NO_FACE = (
    "No face was detected. It should be at least 20 pixels wide, and neither very dark nor in "
    "profile: try another photo, or a crop of this one."
)
_UPLOAD_NOTE = "The upload of a file over 10 MB may fail. Give its path: Explorer(['photo.png'])"

PhotoSource = Path | bytes | Image.Image


@dataclass(frozen=True)
class ViewOptions:
    """How a photo is shown."""

    view: str = "overlay"  # one of VIEWS
    opacity: float = 0.5  # of the colours on top of the photo, 0..1; "mask" shows no photo
    hidden: frozenset[str] = frozenset()  # names of classes
    face: int | None = None  # the only face to show, counted from the left, from 0; None shows all
    boxes: bool = True  # draw a bounding box around each face


@dataclass(frozen=True, eq=False)
class ExplorerResult:
    """Segmentation of a photo by a model, in all forms that are shown."""

    segmentation: SegmentationResult  # of one face or of all, at the photo's own size
    small: Image.Image  # the photo, no side longer than `PREVIEW_SIDE`
    seconds: float  # that the segmentation took, without reading the photo or loading the model

    @cached_property
    def faces(self) -> list[Face]:
        """The faces from left to right."""
        return sorted(self.segmentation.faces, key=lambda face: face.roi.x)

    @lru_cache(maxsize=1)  # noqa: B019 - for the next view of the same face
    def only(self, number: int) -> ExplorerResult:
        """The result for one of the faces."""
        face, full = self.faces[number], self.segmentation
        single = SegmentationResult.from_faces([face], face.size, full.scheme, full.source)
        return replace(self, segmentation=single)

    @cached_property
    def preview(self) -> SegmentationResult:
        """The segmentation at the small photo's size."""
        full = Image.fromarray(self.segmentation.labels)
        labels = np.asarray(full.resize(self.small.size, Image.Resampling.NEAREST))
        return SegmentationResult(labels, self.segmentation.scheme, self.small)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The model's confidence at the preview's size, float32 [h, w]."""
        return self.segmentation.confidence(self.small.size[::-1])

    @cached_property
    def legend(self) -> list[tuple[str, Colour, float]]:
        """Name, colour and fraction of the photo, 0..1, of each class."""
        scheme = self.segmentation.scheme
        masks = map(self.segmentation.mask, scheme.classes)
        # Three times as fast as the mean.
        fractions = [np.count_nonzero(mask) / mask.size for mask in masks]
        return list(zip(scheme.classes, scheme.colours, fractions, strict=True))


class Exploration:
    """Photos and models by name, and the cached results of the models on the photos."""

    def __init__(self) -> None:
        self.photos: dict[str, PhotoSource] = dict(samples())
        self.models: dict[str, FaceSegmenter | str] = {name: name for name in MODEL_NAMES}
        # A photo of 12 megapixels takes 48 MB and its class map 12, so few are kept: a result
        # holds a reference to its photo. Of larger photos only the last one is kept.
        self.photo = lru_cache(maxsize=4)(self._read)
        self.segment = lru_cache(maxsize=6)(self._segment)
        shrunk = lru_cache(maxsize=16)
        self._preview = shrunk(lambda name: shrink_to(self.photo(name), PREVIEW_SIDE))
        self._is_large = False  # the photo that was read last
        self._segmenter = cache(lambda name: _as_segmenter(self.models[name]))

    def add_photo(self, name: str, content: PhotoSource) -> str:
        """Add a photo before all others and return its name, with a number if it was taken.

        Raises a FaceSegKitError if it cannot be read; it is not added then.
        """
        name, before = _unused(name, self.photos), self.photos
        self.photos = {name: content, **before}
        try:
            self.photo(name)
        except FaceSegKitError:
            self.photos = before
            raise
        return name

    def add_model(self, model: FaceSegmenter | Model | Checkpoint | Path | str) -> str:
        """Add a model, unless it is a shipped one, and return its name.

        Raises a FaceSegKitError if there is no such model, or its file is damaged.
        """
        if isinstance(model, str) and is_shipped(model):
            return model
        name = Path(model).name if isinstance(model, (str, Path)) else "your model"
        name = _unused(name, self.models)
        self.models[name] = _as_segmenter(model)
        return name

    def _read(self, name: str) -> Image.Image:
        """The full photo, upright, RGB."""
        self._make_room()
        photo = _load(self.photos[name], name)
        self._is_large = photo.width * photo.height > _LARGE
        self._make_room()
        return photo

    def _make_room(self) -> None:
        """Clear the caches if the last photo is large."""
        if self._is_large:
            for cached in (self.photo, self.segment, ExplorerResult.only):
                cached.cache_clear()

    def _segment(self, photo: str, model: str) -> ExplorerResult:
        """Result of a model on a photo, both by name; raises as `picture`."""
        image, segmenter = self.photo(photo), self._segmenter(model)
        if self._is_large:
            self.segment.cache_clear()
        start = time.perf_counter()
        segmentation = segmenter(image)
        seconds = time.perf_counter() - start
        return ExplorerResult(segmentation, self._preview(photo), seconds)

    def result(self, photo: str, model: str, face: int | None) -> ExplorerResult:
        """Result for all faces, or for one of them; raises as `picture`."""
        full = self.segment(photo, model)
        return full if face is None else full.only(face)

    def picture(self, photo: str, model: str, options: ViewOptions) -> Image.Image:
        """The image to display, RGB, no side longer than `PREVIEW_SIDE`.

        Raises a FaceSegKitError if the photo or the model cannot be read.
        """
        picture = _render(self.result(photo, model, options.face), options)
        if options.boxes:
            full = self.segment(photo, model)
            scale = picture.width / full.segmentation.labels.shape[1]
            _draw_boxes(picture, full.faces, scale, options.face)
        return picture

    def save_mask(
        self, photo: str, model: str, folder: Path | str, options: ViewOptions = ViewOptions()
    ) -> Path:
        """Save the coloured mask of the visible faces and classes as a PNG, and return its path.

        It has the photo's own size, and a name made from those of photo and model. Raises a
        FaceSegKitError if the photo or the model cannot be read, or the file not be written.
        """
        which = "" if options.face is None else f"_face-{options.face + 1}"
        path = Path(folder) / f"{_as_file_name(photo)}_{_as_file_name(model)}{which}_mask.png"
        segmentation = self.result(photo, model, options.face).segmentation
        save_view(_without(segmentation, options.hidden), "mask", path)
        return path


def _as_segmenter(model: FaceSegmenter | Model | Checkpoint | Path | str) -> FaceSegmenter:
    return model if isinstance(model, FaceSegmenter) else FaceSegmenter(model)


def _load(content: PhotoSource, name: str) -> Image.Image:
    if isinstance(content, Image.Image):
        return upright_rgb(content)
    if isinstance(content, Path):
        return read_photo(content)
    file = io.BytesIO(content)
    file.name = name  # for error messages
    return read_photo(file)


def samples() -> dict[str, PhotoSource]:
    """Sample photos by name: photos in the public domain, if there are any, and synthetic faces."""
    photos: dict[str, PhotoSource] = {}
    if _ASTRONAUT.is_file():
        whole = read_photo(_ASTRONAUT)
        photos = {"astronaut, cropped": whole.crop(_ASTRONAUTS_FACE), "astronaut, whole": whole}
        photos |= portraits()
    faces = enumerate(map(_synthetic_photo, _SYNTHETIC), start=1)
    return photos | {f"synthetic face {number}": face for number, face in faces}


@cache  # synthesizing a face takes a fifth of a second
def _synthetic_photo(index: int) -> Image.Image:
    return Image.fromarray(synthesize_face(seed=0, index=index).photo)


def _unused(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number before its suffix if it is taken."""
    numbered = (f"{Path(name).stem} ({number}){Path(name).suffix}" for number in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


def _as_file_name(name: str) -> str:
    """A name without folders, suffix and characters that some file systems do not allow."""
    return re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-") or "photo"


def _without(segmentation: SegmentationResult, hidden: frozenset[str]) -> SegmentationResult:
    """The segmentation with some classes replaced by background."""
    if not hidden:
        return segmentation
    names = enumerate(segmentation.scheme.class_names)
    kept = np.array([0 if name in hidden else class_id for class_id, name in names], np.uint8)
    return replace(segmentation, labels=kept.take(segmentation.labels))


def _render(result: ExplorerResult, options: ViewOptions) -> Image.Image:
    shown = _without(result.preview, options.hidden)
    if options.view == "mask":
        return render(shown, "mask")
    pixels = np.asarray(shown.photo)
    if options.view == "overlay":
        return Image.fromarray(overlay(pixels, shown.labels, shown.scheme, options.opacity))
    if options.view == "contours":
        on_top = overlay(pixels, shown.labels, shown.scheme, opacity=0)
    else:
        on_top = _uncertainty(result.confidence, len(shown.scheme.class_names))
        is_hidden = shown.labels != result.preview.labels
        on_top[is_hidden] = pixels[is_hidden]
    return Image.blend(shown.photo, Image.fromarray(on_top), options.opacity)


def _uncertainty(confidence: NDArray[np.float32], classes: int) -> NDArray[np.uint8]:
    """Colours, RGB uint8 [H, W, 3], of a confidence float32 [H, W]; a guess has 1 / classes."""
    uncertainty = (1 - confidence) / (1 - 1 / classes)
    # Lightness alone shows it: black is confident, white is a guess.
    red_green_blue = (0, 213, 255), (0, 94, 255), (0, 0, 255)
    channels = [np.interp(range(256), (0, 127.5, 255), stops) for stops in red_green_blue]
    colours = np.stack(channels, axis=1).astype(np.uint8)
    return colours.take((255 * uncertainty).astype(np.uint8), axis=0)


def _draw_boxes(
    picture: Image.Image, faces: Sequence[Face], scale: float, chosen: int | None
) -> None:
    """Draw numbered boxes in white on black, visible on any photo; all but a chosen one thin.

    From forehead to chin, whatever parts of it a model marks.
    """
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    for number, face in enumerate(faces):
        if face.bbox.left == face.bbox.right:
            continue  # nothing was segmented in the only, aligned face
        left, top, right, bottom = (scale * box_of(face.roi)).tolist()
        if chosen in (None, number):
            draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline="black", width=4)
        draw.rectangle((left, top, right, bottom), outline="white")
        if len(faces) > 1:
            corner = max(2, left), max(2, top - 18)
            draw.text(corner, str(number + 1), "white", font, stroke_width=2, stroke_fill="black")


class Explorer(widgets.VBox):
    """Choose or upload a photo, choose a model, and see its segmentation.

    Every control is an attribute (photo, model, face, upload, view, opacity, boxes, save, and the
    check boxes in parts), and setting its value is the same as using the mouse:
    `explorer.view.value = "contours"`. What is shown is in picture, message and timing.

    Args:
        photos: paths of your own photos, listed before the samples.
        model: name of a shipped model, path of an .onnx or .pth file, a `FaceSegmenter`, or what
            it takes as a model. The shipped models can always be chosen.
        folder: where masks are saved.

    Raises:
        FaceSegKitError: if a photo or the model cannot be read.
    """

    def __init__(
        self,
        photos: Sequence[Path | str] = (),
        model: FaceSegmenter | Model | Checkpoint | Path | str = DEFAULT_MODEL,
        folder: Path | str = "segmentations",
    ) -> None:
        self.exploration = Exploration()
        self.folder = Path(folder)
        for path in reversed(photos):
            self.exploration.add_photo(Path(path).name, Path(path))
        self._make_controls(self.exploration.add_model(model))
        super().__init__([self.view, self.message, self._below()])
        self._update()
        for control in (self.photo, self.model):
            control.observe(self._on_choice, "value")
        for control in (self.view, self.opacity, self.boxes):
            control.observe(self._update, "value")
        self.upload.observe(self._on_upload, "value")
        self.save.on_click(self._on_save)
        self._first = self.photo.value, self.model.value

    def reset(self) -> None:
        """Set all controls as they were at first. Uploaded photos can still be chosen."""
        self.photo.value, self.model.value = self._first
        self.view.value, self.opacity.value, self.face.value = next(iter(VIEWS)), 0.5, None
        for box in (self.boxes, *self.parts.values()):
            box.value = True
        self._update()  # and remove a message

    def __repr__(self) -> str:
        return f"Explorer(photo={self.photo.value!r}, model={self.model.value!r})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The widgets, and the picture for a notebook that is only read."""
        bundle = super()._repr_mimebundle_(**options)
        return {**bundle, "image/jpeg": b64encode(self.picture.value).decode()}

    def _make_controls(self, model: str) -> None:
        wide, models = {"width": "98%"}, list(self.exploration.models)
        self.photo = widgets.Dropdown(options=list(self.exploration.photos), layout=wide)
        self.upload = widgets.FileUpload(accept="image/*", description="Upload a photo")
        self.upload.layout.width = "auto"
        self.model = widgets.Dropdown(options=models, value=model, layout=wide)
        self.view = widgets.ToggleButtons(options=list(VIEWS), tooltips=list(VIEWS.values()))
        self.opacity = widgets.FloatSlider(0.5, max=1, step=0.05, readout_format=".0%", layout=wide)
        self.face = widgets.Dropdown(options=[(_count(0), None)], layout=wide)
        self.face.observe(self._update, "value")
        self.boxes = _check_box("bounding boxes")
        self.parts: dict[str, widgets.Checkbox] = {}
        self.save = widgets.Button(description="Save the mask", icon="download")
        self.picture = widgets.Image(format="jpeg", layout={"max_width": "100%"})
        self.message, self.timing = widgets.HTML(), widgets.HTML()
        self._caption, self._licence = widgets.HTML(), widgets.HTML()
        columns = {"grid_template_columns": "22px 1fr 70px", "align_items": "center"}
        self._legend = widgets.GridBox(layout=columns)

    def _below(self) -> widgets.Widget:
        """The picture, and the controls beside it, or on a narrow screen below it."""
        sections = {
            "Photo": (self.photo, self.upload, widgets.HTML(_small(_UPLOAD_NOTE))),
            "Model": (self.model, self._licence),
            "Faces": (self.face, self.boxes),
            "Opacity": (self.opacity,),
            "Parts, in percent of the photo": (self._legend, self.save, self.timing),
        }
        controls = [(widgets.HTML(f"<b>{name}</b>"), *rest) for name, rest in sections.items()]
        beside = widgets.VBox(sum(controls, ()), layout={"width": "320px"})
        layout = {"width": f"{_SCREEN_SIDE + 16}px", "align_items": "flex-start"}
        picture = widgets.VBox([self.picture, self._caption], layout=layout)
        return widgets.HBox([picture, beside], layout={"flex_flow": "row wrap"})

    @property
    def view_options(self) -> ViewOptions:
        """The options that the controls are set to."""
        hidden = frozenset(name for name, box in self.parts.items() if not box.value)
        view, opacity = self.view.value, self.opacity.value
        return ViewOptions(view, opacity, hidden, self.face.value, self.boxes.value)

    def _on_choice(self, _: object) -> None:
        """Show all faces of another photo or model."""
        self._set_faces([])
        self._update()

    def _set_faces(self, faces: Sequence[Face]) -> None:
        """List these faces in the menu and choose all of them, unless it lists them already."""
        options: list[tuple[str, int | None]] = [(_count(len(faces)), None)]
        if len(faces) > 1:
            options += [(f"face {number + 1}", number) for number in range(len(faces))]
        if list(self.face.options) != options:
            self.face.unobserve(self._update, "value")
            self.face.options = options
            self.face.value = None
            self.face.disabled = len(options) == 1
            self.face.observe(self._update, "value")

    def _update(self, _: object = None) -> None:
        """Show what the controls are set to; on an error show a message, and keep the picture."""
        photo, model = self.photo.value, self.model.value
        self._licence.value = _small(licence_notice(model) if is_shipped(model) else "")
        self.opacity.disabled = self.view.value == "mask"  # there is no photo below it
        try:
            self._set_faces(self.exploration.segment(photo, model).faces)
            result = self.exploration.result(photo, model, self.face.value)
            self._show_legend(result)
            picture = self.exploration.picture(photo, model, self.view_options)
        except FaceSegKitError as error:
            self._show_message(str(error), failed=True)
            return
        self.picture.value = _as_jpeg(picture)
        self.picture.width = str(round(_SCREEN_SIDE * picture.width / max(picture.size)))
        about = f"; {_describe(result.faces[0])}" if len(result.faces) == 1 else ""
        sources = [source for names, source in _CREDITS.items() if re.fullmatch(names, photo)]
        about += "".join(f". Photo: {source}" for source in sources)
        self._caption.value = _small(f"{self.view.value}: {VIEWS[self.view.value]}{about}")
        height, width = result.segmentation.labels.shape
        self.timing.value = f"Segmented in {1000 * result.seconds:.0f} ms ({width} x {height} px)"
        is_empty = not any(fraction for _, _, fraction in result.legend)
        self._show_message(_NO_FACE if is_empty else "", failed=is_empty)

    def _show_legend(self, result: ExplorerResult) -> None:
        """Colour, check box and fraction of each class; another scheme gets new check boxes."""
        names = [name for name, _, _ in result.legend]
        if names != list(self.parts):
            self.parts = {name: _check_box(name) for name in names}
            for box in self.parts.values():
                box.observe(self._update, "value")
            style = "width: 14px; height: 14px; border: 1px solid grey; background: rgb"
            swatches = [f'<div style="{style}{tuple(c)}"></div>' for _, c, _ in result.legend]
            rows = zip(map(widgets.HTML, swatches), self.parts.values(), strict=True)
            self._legend.children = [w for row in rows for w in (*row, widgets.HTML())]
        for (_, _, fraction), cell in zip(result.legend, self._legend.children[2::3], strict=True):
            cell.value = f"{fraction:.2%}"

    def _on_upload(self, change: dict[str, Any]) -> None:
        """Add an uploaded photo and show it, or say why it cannot be read."""
        if not change["new"]:
            return  # emptied by the next line but one
        (file,) = change["new"]
        self.upload.value = ()  # otherwise the same file could not be uploaded again
        try:
            self.exploration.add_photo(file["name"], bytes(file["content"]))
            self.photo.options = list(self.exploration.photos)  # chooses the first, the new one
        except FaceSegKitError as error:
            self._show_message(str(error), failed=True)

    def _on_save(self, _: widgets.Button) -> None:
        chosen = self.photo.value, self.model.value, self.folder, self.view_options
        try:
            self._show_message(f"The mask was saved as {self.exploration.save_mask(*chosen)}.")
        except FaceSegKitError as error:
            self._show_message(str(error), failed=True)

    def _show_message(self, message: str, *, failed: bool = False) -> None:
        """Show a message above the picture; an empty one removes the last message."""
        colour = "#D55E00" if failed else "#009E73"
        style = f"border-left: 4px solid {colour}; padding: 4px 10px; font-weight: bold"
        html = f'<div role="status" style="{style}">{escape(message)}</div>'
        self.message.value = html if message else ""


def _count(faces: int) -> str:
    return {0: "no face", 1: "one face", 2: "both faces"}.get(faces, f"all {faces} faces")


def _describe(face: Face) -> str:
    degrees = round(face.degrees)
    rotated = f"rotated by {abs(degrees)}° {'clockwise' if degrees > 0 else 'anticlockwise'}"
    confidence = f"confidence {face.confidence:.0%}"
    return f"the face is {rotated if degrees else 'upright'}, {confidence}"


def _small(text: str) -> str:
    return f'<div style="font-size: smaller; line-height: 1.3">{escape(text)}</div>'


def _check_box(name: str) -> widgets.Checkbox:
    return widgets.Checkbox(True, description=name, indent=False, layout={"width": "auto"})


def _as_jpeg(picture: Image.Image) -> bytes:
    """Ten times as fast as PNG; without subsampling, colours stay within their contours."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()
