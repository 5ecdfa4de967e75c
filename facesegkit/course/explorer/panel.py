"""The explorer's widgets: `Explorer()` in a notebook."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from PIL import Image

from facesegkit.course.explorer import texts
from facesegkit.course.explorer.browser import Choice, Gallery, Output, PhotoInput, Picture, Slider
from facesegkit.course.explorer.exploration import FILES, Exploration, Settings
from facesegkit.course.explorer.photos import PhotoSource, jpeg
from facesegkit.course.explorer.pictures import (
    ALL,
    VIEWS,
    ViewOptions,
    positions,
    probe_of,
)
from facesegkit.course.explorer.results import ExplorerResult
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.inference.model_zoo import DEFAULT_MODEL
from facesegkit.inference.search_config import MIN_CONFIDENCE, SEARCHES
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import LabelScheme

if TYPE_CHECKING:
    from facesegkit.checkpoint import Checkpoint
    from facesegkit.inference.onnx_model import Model

NOTHING = "nothing"
SIDE_BY_SIDE, DIFFERENCE = "side by side", "difference"


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which waits for the others: JupyterLab lets widgets call from several threads."""

    @wraps(method)
    def locked(self: Explorer, *args: Any, **options: Any) -> Any:
        with self._lock:
            return method(self, *args, **options)

    return locked


def explore(*photos: Path | str, **options: Any) -> Explorer:
    """The explorer with these photos: `explore("photo.jpg")`; see `Explorer` for the options.

    Raises a FaceSegKitError if a photo or the model cannot be read.
    """
    return Explorer(photos, **options)


class Explorer(widgets.VBox):
    """Choose or upload a photo, choose a model, and see its segmentation.

    Every control is an attribute (photo, view, opacity, part, face, boxes, model, search,
    min_confidence, compare, compare_view, and the buttons in save), and setting its value is the
    same as using the mouse: `explorer.view.value = "contours"`. What is shown is in picture,
    second, and message.

    Args:
        photos: paths of your own photos, listed before the samples.
        model: name of a shipped model, path of an .onnx or .pth file, a `FaceSegmenter`, or what
            it takes as a model. The shipped models can always be chosen.
        max_upload: size of the largest file that can be uploaded, in megabytes.

    Raises:
        FaceSegKitError: if a photo or the model cannot be read.
    """

    def __init__(
        self,
        photos: Sequence[Path | str] = (),
        model: FaceSegmenter | Model | Checkpoint | Path | str = DEFAULT_MODEL,
        *,
        max_upload: int = 50,
    ) -> None:
        self.exploration = Exploration()
        self._pauses, self._lock = 0, RLock()
        for path in reversed(photos):
            self.exploration.add_photo(Path(path).name, Path(path))
        self._make_controls(self.exploration.add_model(model), max_upload)
        super().__init__([self._columns()])
        self.add_class("fsk-explorer")
        self._list_photos(next(iter(self.exploration.photos)))
        self._first = self.photo.value, self.model.value
        self._observe()
        self._update()

    def __repr__(self) -> str:
        return f"Explorer(photo={self.photo.value!r}, model={self.model.value!r})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The widgets, and a small picture for a notebook that is only read."""
        bundle = super()._repr_mimebundle_(**options)
        small = Image.open(io.BytesIO(self.picture.image))
        small.thumbnail((480, 480))
        return {**bundle, "image/jpeg": b64encode(jpeg(small, quality=75)).decode()}

    # The controls

    def _make_controls(self, model: str, max_upload: int) -> None:
        models = list(self.exploration.models)
        self.upload = PhotoInput(self._on_photo, max_upload * 1_000_000)
        self.photo = Gallery()
        self.view = Choice(label="View", options=list(VIEWS), tooltips=list(VIEWS.values()))
        self.view.value = "overlay"
        self.opacity = Slider(label="Opacity of the colours", value=0.5)
        self.part = _menu("Class", [ALL])
        self.face = _menu("Face", [("no face", 0)])
        self.boxes = widgets.Checkbox(True, description="Number the faces", indent=False)
        self.model = _menu("Model", models, model)
        self.search = _menu("Search for faces", list(SEARCHES))
        self.min_confidence = Slider(
            label="Minimum confidence of a face", value=MIN_CONFIDENCE, continuous=False
        )
        self.compare = _menu("Compare with", [NOTHING, *models])
        self.compare_view = Choice(label="Comparison", options=[SIDE_BY_SIDE, DIFFERENCE])
        self.compare_view.value = SIDE_BY_SIDE
        self.picture, self.second, self.output = Picture(), Picture(), Output()
        self.message, self.details, self._scores = (widgets.HTML() for _ in range(3))
        self._licence, self._key = widgets.HTML(), widgets.HTML()
        labels = {"mask": "Mask", "overlay": "Overlay", "cut-out": "Cut-out", "json": "JSON"}
        self.save = {kind: _download_button(kind, labels[kind]) for kind in FILES}

    def _columns(self) -> widgets.Widget:
        """The picture, and the controls beside it, or on a narrow screen below it."""
        pictures = widgets.HBox([self.picture, self.second]).add_class("fsk-pictures")
        main = [self.upload, self.photo, self.view, self.message, pictures, self._key]
        main += [self._scores, self.details]
        downloads = widgets.HBox(list(self.save.values())).add_class("fsk-downloads")
        side = [
            *(self.face, self.boxes, self.part, self.opacity, texts.heading("Model")),
            *(self.model, self._licence, self.search, self.min_confidence),
            *(texts.heading("Compare"), self.compare, self.compare_view),
            *(texts.heading("Download at full size"), downloads),
            *(texts.heading("The same in Python"), self.output),
        ]
        columns = [
            widgets.VBox(main).add_class("fsk-main"),
            widgets.VBox(side).add_class("fsk-side"),
        ]
        return widgets.HBox(columns).add_class("fsk-columns")

    def _observe(self) -> None:
        for control in (self.photo, self.model, self.search, self.min_confidence):
            control.observe(self._on_choice, "value")
        shown = self.view, self.opacity, self.part, self.face, self.boxes
        for control in (*shown, self.compare, self.compare_view):
            control.observe(self._update, "value")
        for picture in (self.picture, self.second):
            picture.observe(self._on_face, "face")
        for kind, button in self.save.items():
            button.on_click(self._saver(kind))

    @property
    def settings(self) -> Settings:
        """The model and the search that the controls are set to."""
        return Settings(self.model.value, self.search.value, round(self.min_confidence.value, 2))

    @property
    def view_options(self) -> ViewOptions:
        """How the controls say that the photo is shown."""
        values = self.view.value, self.opacity.value, self.part.value, self.face.value
        return ViewOptions(*values, self.boxes.value)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Without an update at each change in the body."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    @_one_at_a_time
    def reset(self) -> None:
        """Set all controls as they were at first. Uploaded photos can still be chosen."""
        with self._paused():
            self.photo.value, self.model.value = self._first
            self.view.value, self.opacity.value = "overlay", 0.5
            self.part.value, self.face.value, self.boxes.value = ALL, 0, True
            self.search.value, self.min_confidence.value = "default", MIN_CONFIDENCE
            self.compare.value, self.compare_view.value = NOTHING, SIDE_BY_SIDE
        self._update()

    # What happens when they change

    @_one_at_a_time
    def _on_choice(self, _: object) -> None:
        """Show all faces of another photo or model."""
        if not self._pauses:
            with self._paused():
                self.face.value = 0
            self._update()

    @_one_at_a_time
    def _on_face(self, change: dict[str, Any]) -> None:
        """A face was clicked in a picture."""
        if not self._pauses and change["new"] in dict(self.face.options).values():
            self.face.value = change["new"]

    @_one_at_a_time
    def _update(self, _: object = None) -> None:
        """Show what the controls are set to; on an error show a message, and keep the picture."""
        if self._pauses:
            return
        try:
            with self._busy(f"Segmenting with {self.model.value} …"), self._paused():
                self._show()
        except FaceSegKitError as error:
            self._say(str(error), failed=True)

    @contextmanager
    def _busy(self, text: str) -> Iterator[None]:
        self.picture.busy = text
        try:
            yield
        finally:
            self.picture.busy = ""

    def _show(self) -> None:
        photo, settings = self.photo.value, self.settings
        result = self.exploration.segment(photo, settings)
        self._list_faces(result)
        self._list_classes(result)
        options = self.view_options
        self._show_picture(self.picture, settings, options)
        self._show_comparison(settings, options)
        self.opacity.disabled = options.view != "overlay"
        has_search = self.exploration.has_search(settings.model)
        self.search.disabled = self.min_confidence.disabled = not has_search
        self._licence.value = texts.licence(settings.model)
        self.details.value = texts.details(result, self.exploration.photos[photo].credit)
        self._key.value = texts.key(self._shown_scheme(), self._drawn_view(), options.part)
        self.output.code = self.exploration.python(photo, settings)
        is_empty = not result.segmentation.labels.any()
        for button in self.save.values():
            button.disabled = is_empty
        self._say(texts.NO_FACE if is_empty else "", failed=is_empty)

    def _shown_scheme(self) -> LabelScheme:
        """The classes of the model, or of the one with more classes if two are shown."""
        shown = [self.settings] + ([self._other] if self.compare.value != NOTHING else [])
        results = [self.exploration.segment(self.photo.value, one) for one in shown]
        schemes = [result.segmentation.scheme for result in results]
        return max(schemes, key=lambda scheme: len(scheme.classes))

    def _drawn_view(self) -> str:
        """The view, or "difference"."""
        compares = self.compare.value != NOTHING and self.compare_view.value == DIFFERENCE
        return DIFFERENCE if compares else self.view.value

    def _show_picture(self, picture: Picture, settings: Settings, options: ViewOptions) -> None:
        photo = self.photo.value
        result = self.exploration.segment(photo, settings)
        region = self.exploration.region(photo, settings, options.face)
        if self._drawn_view() == DIFFERENCE:
            both = settings, self._other
            image = self.exploration.difference(photo, both, options)
        else:
            image = self.exploration.picture(photo, settings, options)
        with picture.hold_sync():
            picture.image, picture.probe = jpeg(image), _png(probe_of(region))
            picture.names = list(result.segmentation.scheme.class_names)
            picture.faces = positions(result.faces, region)
            picture.face = options.face
            picture.alt = texts.alt(photo, self._drawn_view(), result, options)
            picture.caption = settings.model if self.compare.value != NOTHING else ""

    @property
    def _other(self) -> Settings:
        """The settings of the second model."""
        search, lowest = self.search.value, round(self.min_confidence.value, 2)
        return Settings(self.compare.value, search, lowest)

    def _show_comparison(self, settings: Settings, options: ViewOptions) -> None:
        compares = self.compare.value != NOTHING
        both = compares and self.compare_view.value == SIDE_BY_SIDE
        self.second.layout.display = None if both else "none"
        self.compare_view.layout.display = None if compares else "none"
        if not compares:
            self._scores.value = ""
            return
        other = self._other
        comparison = self.exploration.compare(self.photo.value, settings, other)
        self._scores.value = texts.scores(comparison, settings.model, other.model)
        if not both:
            self.picture.caption = f"{settings.model} and {other.model}"
            return
        image = self.exploration.second_picture(self.photo.value, (settings, other), options)
        result = self.exploration.segment(self.photo.value, other)
        region = self.exploration.second_region(self.photo.value, (settings, other), options.face)
        with self.second.hold_sync():
            self.second.image, self.second.caption = jpeg(image), other.model
            self.second.probe = _png(probe_of(region))
            self.second.names = list(result.segmentation.scheme.class_names)
            self.second.faces, self.second.face = self.picture.faces, options.face
            self.second.alt = texts.alt(self.photo.value, options.view, result, options)

    def _list_faces(self, result: ExplorerResult) -> None:
        """List these faces in the menu, and keep the choice if it is there."""
        count = len(result.faces)
        options = [("no face" if not count else "the whole photo", 0)]
        options += [(f"face {number}", number) for number in range(1, count + 1)]
        if list(self.face.options) != options:
            chosen = self.face.value
            self.face.options = options
            self.face.value = chosen if chosen <= count else 0
        self.face.disabled = not count

    def _list_classes(self, result: ExplorerResult) -> None:
        options = [ALL, *result.segmentation.scheme.classes]
        if list(self.part.options) != options:
            chosen = self.part.value
            self.part.options = options
            self.part.value = chosen if chosen in options else ALL

    def _list_photos(self, chosen: str) -> None:
        photos = self.exploration.photos
        known = self.photo.thumbnails
        thumbnails = {name: known.get(name) or photos[name].thumbnail() for name in photos}
        with self.photo.hold_sync():
            self.photo.thumbnails, self.photo.options = thumbnails, list(photos)
            self.photo.value = chosen

    # Photos in, files out

    def add_photo(self, name: str, content: PhotoSource) -> None:
        """Add a photo and show it, or say in `message` why it cannot be read."""
        self._on_photo(name, content, 1, 1)

    @_one_at_a_time
    def _on_photo(self, name: str, content: PhotoSource, number: int, total: int) -> None:
        """One of several photos has arrived; each is segmented, the last one stays."""
        self.upload.progress = f"Photo {number} of {total}: {name} …"
        try:
            if isinstance(content, bytes) and len(content) > self.upload.max_bytes:
                limit = self.upload.max_bytes // 1_000_000
                raise FaceSegKitError(f"{name} is too large; at most {limit} MB are allowed.")
            with self._busy(f"Reading {name} …"):
                added = self.exploration.add_photo(name, content)
                with self._paused():
                    self.face.value = 0
                    self._list_photos(added)
            self._update()
        except FaceSegKitError as error:
            self._say(str(error), failed=True)
        finally:
            is_last = number == total
            done = f"{counted(total, 'photo')} processed." if total > 1 else ""
            self.upload.progress = done if is_last else self.upload.progress

    def _saver(self, kind: str) -> Callable[[widgets.Button], None]:
        def save(_: widgets.Button) -> None:
            try:
                with self._busy("Preparing the file …"):
                    name, content = self.file(kind)
                    self.output.download(name, FILES[kind], content)
            except FaceSegKitError as error:
                self._say(str(error), failed=True)
            else:
                self._say(f"{name} was passed to the browser.")

        return save

    @_one_at_a_time
    def file(self, kind: str) -> tuple[str, bytes]:
        """Name and content of a file: "mask", "overlay", "cut-out" (PNG) or "json".

        It has the photo's own size, and shows the chosen face and class only. Raises a
        FaceSegKitError if no face was found.
        """
        chosen = self.photo.value, self.settings
        return self.exploration.file(kind, *chosen, self.view_options)

    def _say(self, message: str, *, failed: bool = False) -> None:
        """Show a message above the picture; an empty one removes the last message."""
        self.message.value = texts.message(message, failed=failed)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _menu(name: str, options: Sequence[Any], value: Any = None) -> widgets.Dropdown:
    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return widgets.Dropdown(options=options, value=first if value is None else value,
                            description=name)  # fmt: skip


def _download_button(kind: str, label: str) -> widgets.Button:
    suffix = "JSON" if kind == "json" else "PNG"
    tooltip = f"Download the {label if kind == 'json' else label.lower()} as {suffix}"
    return widgets.Button(description=label, tooltip=tooltip)
