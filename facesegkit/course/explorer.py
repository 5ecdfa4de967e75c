"""Try a model on photos, with the mouse: `Explorer()` in a notebook.

`Exploration` knows what is to be shown, and `Explorer` is the widgets around it.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox
from facesegkit.image_io import read_photo, shrink_to, upright_rgb
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
    "overlay": "the photo with the parts' colours laid over it",
    "mask": "the parts' colours on black",
    "contours": "the parts' outlines",
    "confidence": "black where the model is sure, orange to white where it is not",
}

PREVIEW_SIDE = 640  # longest side of the pictures that are drawn, in pixels
_LARGE = 16_000_000  # pixels
_SCREEN_SIDE = 520  # and of the place that they fill on the screen

_ASTRONAUT = Path(__file__).parents[2] / "figures" / "astronaut.jpg"  # only in a checkout
_ASTRONAUTS_FACE = (129, 11, 319, 201)
_DRAWN = (55, 160, 150)  # of the drawn faces with seed 0

# Lightness alone tells how unsure: black is sure, then orange, white is a guess.
_DOUBT_STOPS = ((0, 0, 0), (213, 94, 0), (255, 255, 255))

_NOTHING_FOUND = (
    "No face was found. It should be at least 40 pixels wide and show eyes, nose or mouth: try "
    "another photo, or a part of this one."
)
_ON_LARGE_FILES = "A file over 10 MB may not arrive. Give its path: Explorer(['photo.png'])"

PhotoSource = Path | bytes | Image.Image


@dataclass(frozen=True)
class Look:
    """How a photo is to be shown.

    Args:
        view: one of `VIEWS`.
        opacity: of what is laid over the photo, 0..1; the mask has no photo below it.
        hidden: names of the classes that are switched off.
        face: number of the only face to show, from the left, the first being 0; None shows all.
        boxes: whether there is a box around each face.
    """

    view: str = "overlay"
    opacity: float = 0.5
    hidden: frozenset[str] = frozenset()
    face: int | None = None
    boxes: bool = True


@dataclass(frozen=True, eq=False)
class Found:
    """What a model found in a photo: all that the views and the legend are made from.

    Args:
        segmentation: at the photo's own size; of one of the faces, or of all.
        small: the photo, no side longer than `PREVIEW_SIDE`.
        seconds: that it took; reading the photo and loading the model are not in it.
    """

    segmentation: SegmentationResult
    small: Image.Image
    seconds: float

    @cached_property
    def faces(self) -> list[Face]:
        """From the left to the right."""
        return sorted(self.segmentation.faces, key=lambda face: face.bbox.left + face.bbox.right)

    def only(self, face: int) -> Found:
        """What was found of one of the faces."""
        whole = self.segmentation
        width, height = self.faces[face].size
        alone = SegmentationResult.from_faces(
            [self.faces[face]], (width, height), whole.scheme, whole.source
        )
        return Found(alone, self.small, self.seconds)

    @cached_property
    def preview(self) -> SegmentationResult:
        """The segmentation at the small photo's size."""
        labels = Image.fromarray(self.segmentation.labels)
        labels = labels.resize(self.small.size, Image.Resampling.NEAREST)
        return SegmentationResult(np.asarray(labels), self.segmentation.scheme, self.small)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The model's confidence at the preview's size, float32 [h, w]."""
        height, width = self.preview.labels.shape
        return self.segmentation.confidence((height, width))

    @cached_property
    def legend(self) -> list[tuple[str, Colour, float]]:
        """Of each class its name, its colour and its share of the photo, 0..1."""
        scheme = self.segmentation.scheme
        return [
            (name, colour, self.segmentation.fraction(name))
            for name, colour in zip(scheme.classes, scheme.colours, strict=True)
        ]


class Exploration:
    """Photos and models by name, and what the models find in the photos. Knows of no widgets.

    The last results are kept, so that neither another view nor a photo or a model that is
    chosen again is segmented again.

    Attributes:
        photos: what there is to choose from, by name.
        models: the same.
    """

    def __init__(self) -> None:
        self.photos: dict[str, PhotoSource] = dict(samples())
        self.models: dict[str, FaceSegmenter | Path | str] = {name: name for name in MODEL_NAMES}
        # A photo of 12 megapixels takes 48 MB and its classes 24: few are kept, as a result
        # holds on to its photo. Of larger ones only the last is.
        self.photo = lru_cache(maxsize=4)(self._read)
        self._small_photo = lru_cache(maxsize=16)(self._shrink)
        self.find = lru_cache(maxsize=6)(self._find)
        self._is_large = False  # the last photo that was read
        self._segmenter = cache(self._open)

    def add_photo(self, name: str, content: PhotoSource) -> str:
        """Add a photo before all others. Returns its name, with a number if there is one already.

        Args:
            name: to call it by.
            content: a picture, the path of a file, or what stands in one.

        Raises:
            FaceSegKitError: it cannot be read. Nothing has been added then.
        """
        name = _unused(name, self.photos)
        before = self.photos
        self.photos = {name: content, **before}
        try:
            self.photo(name)
        except FaceSegKitError:
            self.photos = before
            raise
        return name

    def add_model(self, model: FaceSegmenter | Model | Checkpoint | Path | str) -> str:
        """Add a model, unless it ships. Returns its name.

        Raises:
            FaceSegKitError: there is no such model, or its file is damaged.
        """
        if isinstance(model, str) and is_shipped(model):
            return model
        name = Path(model).name if isinstance(model, (str, Path)) else "your model"
        name = _unused(name, self.models)
        self.models[name] = model if isinstance(model, FaceSegmenter) else FaceSegmenter(model)
        return name

    def _read(self, name: str) -> Image.Image:
        """A photo in full, upright, RGB."""
        content = self.photos[name]
        if self._is_large:
            self._forget()
        if isinstance(content, Image.Image):
            picture = upright_rgb(content)
        else:
            picture = _read_file(content, name)
        self._is_large = picture.width * picture.height > _LARGE
        if self._is_large:
            self._forget()
        return picture

    def _forget(self) -> None:
        self.photo.cache_clear()
        self.find.cache_clear()

    def _shrink(self, name: str) -> Image.Image:
        return shrink_to(self.photo(name), PREVIEW_SIDE)

    def _open(self, name: str) -> FaceSegmenter:
        model = self.models[name]
        return model if isinstance(model, FaceSegmenter) else FaceSegmenter(model)

    def _find(self, photo: str, model: str, face: int | None = None) -> Found:
        """What the model of this name finds in the photo of this name, or in one of its faces.

        Raises:
            FaceSegKitError: one of the two cannot be read.
        """
        if face is not None:
            return self.find(photo, model).only(face)
        picture, segmenter = self.photo(photo), self._segmenter(model)
        if self._is_large:
            self.find.cache_clear()
        start = time.perf_counter()
        segmentation = segmenter(picture)
        seconds = time.perf_counter() - start
        return Found(segmentation, self._small_photo(photo), seconds)

    def picture(self, photo: str, model: str, look: Look) -> Image.Image:
        """What is to be seen, RGB, no side longer than `PREVIEW_SIDE`.

        Raises:
            FaceSegKitError: the photo or the model cannot be read.
        """
        found = self.found(photo, model, look.face)
        picture = self._view(found, look)
        if look.boxes:
            whole = self.find(photo, model)
            scale = picture.width / whole.segmentation.labels.shape[1]
            _draw_boxes(picture, [face.bbox for face in whole.faces], scale, look.face)
        return picture

    def found(self, photo: str, model: str, face: int | None) -> Found:
        """The same as `find`; what was found of all faces is kept once only."""
        if face is None:
            return self.find(photo, model)
        if self._is_large:
            return self.find(photo, model).only(face)
        return self.find(photo, model, face)

    @staticmethod
    def _view(found: Found, look: Look) -> Image.Image:
        shown = _without(found.preview, look.hidden)
        if look.view == "mask":
            return render(shown, "mask")
        pixels = np.asarray(shown.photo)
        if look.view == "overlay":
            return Image.fromarray(overlay(pixels, shown.labels, shown.scheme, look.opacity))
        if look.view == "contours":
            laid_over = overlay(pixels, shown.labels, shown.scheme, opacity=0)
        else:
            laid_over = _doubt(found.confidence, len(shown.scheme.class_names))
            switched_off = shown.labels != found.preview.labels
            laid_over[switched_off] = pixels[switched_off]
        return Image.blend(shown.photo, Image.fromarray(laid_over), look.opacity)

    def save_mask(
        self,
        photo: str,
        model: str,
        folder: Path | str,
        hidden: frozenset[str] = frozenset(),
        face: int | None = None,
    ) -> Path:
        """Save the mask in its colours at the photo's own size, as a PNG named after the photo.

        Args:
            photo: its name.
            model: its name.
            folder: is made if need be.
            hidden: names of the classes to leave out.
            face: number of the only face to save, from the left, from 0; None saves all.

        Returns:
            The file's path.

        Raises:
            FaceSegKitError: the photo or the model cannot be read, or the file not be written.
        """
        which = "" if face is None else f"_face-{face + 1}"
        path = Path(folder) / f"{_as_file_name(photo)}_{_as_file_name(model)}{which}_mask.png"
        found = self.found(photo, model, face)
        save_view(_without(found.segmentation, hidden), "mask", path)
        return path


def _read_file(content: Path | bytes, name: str) -> Image.Image:
    if isinstance(content, Path):
        return read_photo(content)
    file = io.BytesIO(content)
    file.name = name  # for messages
    return read_photo(file)


def samples() -> dict[str, PhotoSource]:
    """Photos to start with, by name: a photo in the public domain where it is at hand, and faces
    that are drawn on the spot."""
    found: dict[str, PhotoSource] = {}
    if _ASTRONAUT.is_file():
        whole = read_photo(_ASTRONAUT)
        found["astronaut, cropped"] = whole.crop(_ASTRONAUTS_FACE)
        found["astronaut, whole"] = whole
    for number, index in enumerate(_DRAWN, start=1):
        found[f"drawn face {number}"] = _drawn(index)
    return found


@cache
def _drawn(index: int) -> Image.Image:
    """Drawn once, since it takes a fifth of a second."""
    return Image.fromarray(synthesize_face(seed=0, index=index).photo)


def _unused(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number before its suffix if it is taken."""
    free, number = name, 2
    while free in taken:
        free = f"{Path(name).stem} ({number}){Path(name).suffix}"
        number += 1
    return free


def _as_file_name(name: str) -> str:
    """A name without folders, suffix and all that some file system does not like."""
    return re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-") or "photo"


def _without(segmentation: SegmentationResult, hidden: frozenset[str]) -> SegmentationResult:
    """The segmentation with some classes turned into background."""
    if not hidden:
        return segmentation
    names = segmentation.scheme.class_names
    kept = [0 if name in hidden else class_id for class_id, name in enumerate(names)]
    labels = np.array(kept, dtype=np.uint8).take(segmentation.labels)
    return replace(segmentation, labels=labels)


def _doubt(confidence: NDArray[np.float32], classes: int) -> NDArray[np.uint8]:
    """A picture of how unsure a model is, RGB uint8 [H, W, 3].

    Args:
        confidence: float32 [H, W].
        classes: their number; a pure guess has the confidence 1 / classes.
    """
    doubt = (1 - confidence) / (1 - 1 / classes)
    places = np.linspace(0, 255, len(_DOUBT_STOPS))
    channels = [
        np.interp(np.arange(256), places, levels) for levels in zip(*_DOUBT_STOPS, strict=True)
    ]
    colours = np.stack(channels, axis=1).astype(np.uint8)
    return colours.take((255 * doubt).astype(np.uint8), axis=0)


def _draw_boxes(
    picture: Image.Image, boxes: Sequence[BBox], scale: float, chosen: int | None
) -> None:
    """Draw numbered boxes into a picture, which is `scale` times as large as what they are of.

    White on black, to be seen on any photo. If one is chosen, the others are thin.
    """
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=14)
    for number, box in enumerate(boxes):
        if box.left == box.right:
            continue  # nothing was found in the only, aligned face
        margin = 0.15 * (box.bottom - box.top)
        left, top = (scale * place - margin * scale for place in (box.left, box.top))
        right, bottom = (scale * place + margin * scale for place in (box.right, box.bottom))
        if chosen in (None, number):
            draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline="black", width=4)
        draw.rectangle((left, top, right, bottom), outline="white")
        if len(boxes) > 1:
            place = max(2, left), max(2, top - 18)
            draw.text(place, str(number + 1), "white", font, stroke_width=2, stroke_fill="black")


class Explorer(widgets.VBox):
    """Choose or upload a photo, choose a model, and see what it finds.

    Every control is an attribute, and setting its value does what the mouse does:
    `explorer.view.value = "contours"`.

    Args:
        photos: paths of photos of your own, to stand before the samples.
        model: name of a model that ships, path of an .onnx or .pth file, a `FaceSegmenter`, or
            what that takes. Those that ship can be chosen in any case.
        folder: where masks are saved.

    Attributes:
        exploration: photos, models and results.
        photo, model: menus.
        upload: button that adds a photo.
        face: menu, all faces or one of them.
        view, opacity, boxes: how the photo is shown.
        parts: the same, a check box for each class of the model, by name.
        save: button that saves the mask.
        picture, message, timing: what is shown.

    Raises:
        FaceSegKitError: a photo or the model cannot be read.
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
        self._draw()
        for control in (self.photo, self.model):
            control.observe(self._start_over, "value")
        for control in (self.view, self.opacity, self.boxes):
            control.observe(self._draw, "value")
        self.face.observe(self._on_face, "value")
        self.upload.observe(self._on_upload, "value")
        self.save.on_click(self._on_save)

    def __repr__(self) -> str:
        return f"Explorer(photo={self.photo.value!r}, model={self.model.value!r})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Widgets where they live; the picture alone where a notebook is only read."""
        shown = super()._repr_mimebundle_(**options)
        return {**shown, "image/jpeg": b64encode(self.picture.value).decode()}

    def _make_controls(self, model: str) -> None:
        wide = widgets.Layout(width="98%")
        self.photo = widgets.Dropdown(options=list(self.exploration.photos), layout=wide)
        self.upload = widgets.FileUpload(
            accept="image/*", description="Upload a photo", layout=widgets.Layout(width="auto")
        )
        self.model = widgets.Dropdown(
            options=list(self.exploration.models), value=model, layout=wide
        )
        self.view = widgets.ToggleButtons(options=list(VIEWS), tooltips=list(VIEWS.values()))
        self.opacity = widgets.FloatSlider(
            value=0.5, min=0, max=1, step=0.05, readout_format=".0%", layout=wide
        )
        self.face = widgets.Dropdown(options=[(_all(0), None)], layout=wide)
        self._setting_faces = False
        self.boxes = _check_box("boxes around faces")
        self.parts: dict[str, widgets.Checkbox] = {}
        self.save = widgets.Button(description="Save the mask", icon="download")
        self.picture = widgets.Image(format="jpeg", layout=widgets.Layout(max_width="100%"))
        self.message, self.timing = widgets.HTML(), widgets.HTML()
        self._caption, self._licence = widgets.HTML(), widgets.HTML()
        self._legend = widgets.GridBox(
            layout=widgets.Layout(grid_template_columns="22px 1fr 70px", align_items="center")
        )

    def _below(self) -> widgets.Widget:
        """The picture, and the controls beside it, or on a narrow screen below it."""
        controls = [
            *(_heading("Photo"), self.photo, self.upload, widgets.HTML(_small(_ON_LARGE_FILES))),
            *(_heading("Model"), self.model, self._licence),
            *(_heading("Faces"), self.face, self.boxes),
            *(_heading("Opacity"), self.opacity),
            *(_heading("Parts, and their shares of the photo"), self._legend),
            *(self.save, self.timing),
        ]
        beside = widgets.VBox(controls, layout=widgets.Layout(width="320px"))
        frame = widgets.VBox(
            [self.picture, self._caption],
            layout=widgets.Layout(width=f"{_SCREEN_SIDE + 16}px", align_items="flex-start"),
        )
        return widgets.HBox([frame, beside], layout=widgets.Layout(flex_flow="row wrap"))

    @property
    def look(self) -> Look:
        """What the controls say on how the photo is to be shown."""
        return Look(
            self.view.value, self.opacity.value, self._hidden, self.face.value, self.boxes.value
        )

    @property
    def _hidden(self) -> frozenset[str]:
        return frozenset(name for name, box in self.parts.items() if not box.value)

    def _start_over(self, _: object) -> None:
        """Another photo or model: all of its faces are shown."""
        self._set_faces([])
        self._draw()

    def _set_faces(self, faces: Sequence[Face]) -> None:
        """Offer these faces to choose from; all of them are chosen."""
        options: list[tuple[str, int | None]] = [(_all(len(faces)), None)]
        if len(faces) > 1:
            options += [(f"face {number + 1}", number) for number in range(len(faces))]
        if list(self.face.options) == options:
            return
        self._setting_faces = True
        self.face.options = options
        self.face.value = None
        self.face.disabled = len(options) == 1
        self._setting_faces = False

    def _on_face(self, _: object) -> None:
        if not self._setting_faces:
            self._draw()

    def _draw(self, _: object = None) -> None:
        """Show what the controls say. What cannot be read is told, and the last picture stays."""
        photo, model = self.photo.value, self.model.value
        self._licence.value = _small(licence_notice(model) if is_shipped(model) else "")
        self.opacity.disabled = self.view.value == "mask"  # there is no photo below it
        try:
            self._set_faces(self.exploration.find(photo, model).faces)
            found = self.exploration.found(photo, model, self.face.value)
            self._show_legend(found)
            picture = self.exploration.picture(photo, model, self.look)
        except FaceSegKitError as error:
            self._tell(str(error), failed=True)
            return
        self.picture.value = _as_jpeg(picture)
        about = f"; {_about(found.faces[0])}" if len(found.faces) == 1 else ""
        self._caption.value = _small(f"{self.view.value}: {VIEWS[self.view.value]}{about}")
        self.picture.width = str(round(_SCREEN_SIDE * picture.width / max(picture.size)))
        width, height = found.segmentation.photo.size
        self.timing.value = (
            f"Segmented in {1000 * found.seconds:.0f} ms ({width} x {height} pixels)"
        )
        nothing = not any(share for _, _, share in found.legend)
        self._tell(_NOTHING_FOUND if nothing else "", failed=nothing)

    def _show_legend(self, found: Found) -> None:
        """Each class in a row: colour, check box, share. The boxes of a scheme stay as they are."""
        names = [name for name, _, _ in found.legend]
        if names != list(self.parts):
            self.parts = {name: _check_box(name) for name in names}
            for box in self.parts.values():
                box.observe(self._draw, "value")
            cells = [
                (_swatch(colour), self.parts[name], widgets.HTML())
                for name, colour, _ in found.legend
            ]
            self._legend.children = sum(cells, ())
        for (_, _, share), cell in zip(found.legend, self._legend.children[2::3], strict=True):
            cell.value = f"{share:.2%}"

    def _on_upload(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return  # emptied, below
        (file,) = change["new"]
        self.upload.value = ()  # or the same file could not be uploaded again
        self._add_photo(file["name"], bytes(file["content"]))

    def _add_photo(self, name: str, content: bytes) -> None:
        """Add a photo and show it, or say why it cannot be read."""
        try:
            self.exploration.add_photo(name, content)
        except FaceSegKitError as error:
            self._tell(str(error), failed=True)
            return
        self.photo.options = list(self.exploration.photos)  # chooses the first, which is the new

    def _on_save(self, _: widgets.Button) -> None:
        try:
            path = self.exploration.save_mask(
                self.photo.value, self.model.value, self.folder, self._hidden, self.face.value
            )
        except FaceSegKitError as error:
            self._tell(str(error), failed=True)
        else:
            self._tell(f"The mask is in {path}.")

    def _tell(self, message: str, *, failed: bool = False) -> None:
        """Show a message below the picture, or with an empty one take the last one away."""
        colour = "#D55E00" if failed else "#009E73"
        style = f"border-left: 4px solid {colour}; padding: 4px 10px; font-weight: bold"
        told = f'<div role="status" style="{style}">{escape(message)}</div>'
        self.message.value = told if message else ""


def _all(faces: int) -> str:
    """What the menu calls this many faces."""
    return {0: "no face", 1: "one face", 2: "both faces"}.get(faces, f"all {faces} faces")


def _about(face: Face) -> str:
    """How a face stands, and how sure the model is of it."""
    degrees = round(face.degrees)
    turned = f"turned by {abs(degrees)}° {'clockwise' if degrees > 0 else 'anticlockwise'}"
    return (
        f"the face is {turned if degrees else 'upright'}, its parts are {face.confidence:.0%} sure"
    )


def _heading(text: str) -> widgets.HTML:
    return widgets.HTML(f"<b>{text}</b>")


def _small(text: str) -> str:
    return f'<div style="font-size: smaller; line-height: 1.3">{escape(text)}</div>'


def _check_box(name: str) -> widgets.Checkbox:
    return widgets.Checkbox(True, description=name, indent=False, layout={"width": "auto"})


def _swatch(colour: Colour) -> widgets.HTML:
    red, green, blue = colour
    style = f"width: 14px; height: 14px; background: rgb({red}, {green}, {blue})"
    return widgets.HTML(f'<div style="{style}; border: 1px solid grey"></div>')


def _as_jpeg(picture: Image.Image) -> bytes:
    """Ten times as fast as PNG, and without subsampling colours stay within their outlines."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()
