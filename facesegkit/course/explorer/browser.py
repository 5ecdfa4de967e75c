"""Widgets that need the browser itself: the picture, input of photos, choices, and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"


class Picture(anywidget.AnyWidget):
    """An image whose faces can be clicked; hovering shows the class and its probability."""

    _esm = _STATIC / "picture.js"
    _css = _STATIC / "explorer.css"

    image = traitlets.Bytes(b"").tag(sync=True)  # JPEG
    probe = traitlets.Bytes(b"").tag(sync=True)  # PNG: class ids in red, confidence in green
    names = traitlets.List(trait=traitlets.Unicode()).tag(sync=True)  # of the classes, by id
    # Left, top, width and height of each face, in fractions of the image.
    faces: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    face = traitlets.Int(0).tag(sync=True)  # number of the chosen face, 0 for all
    alt = traitlets.Unicode("").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Unicode("").tag(sync=True)  # what is going on


class PhotoInput(anywidget.AnyWidget):
    """Upload, drop, paste and camera; each photo is passed to a function when it has arrived.

    Files arrive in pieces, since a server may limit the size of one message to a few megabytes.
    """

    _esm = _STATIC / "photo_input.js"

    max_bytes = traitlets.Int(50_000_000).tag(sync=True)  # of one file
    progress = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_photo: Callable[[str, bytes, int, int], None], max_bytes: int) -> None:
        super().__init__(max_bytes=max_bytes)
        self._on_photo = on_photo
        self._parts: list[bytes] = []
        self.on_msg(self._receive)

    def _receive(self, _: object, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        """A piece of a file; after the last one, pass the file on. Too large a file is cut off."""
        if content.get("first"):
            self._parts = []
        if sum(map(len, self._parts)) <= self.max_bytes:
            self._parts += [bytes(buffer) for buffer in buffers]
        if content.get("last"):
            joined, self._parts = b"".join(self._parts), []
            number, total = int(content.get("number", 1)), int(content.get("total", 1))
            self._on_photo(str(content.get("name", "photo")), joined, number, total)


class Gallery(anywidget.AnyWidget):
    """Thumbnails of the photos; `value` is the name of the chosen one."""

    _esm = _STATIC / "gallery.js"

    options = traitlets.List(trait=traitlets.Unicode()).tag(sync=True)
    thumbnails = traitlets.Dict().tag(sync=True)  # data URL of each
    value = traitlets.Unicode("").tag(sync=True)


class Choice(anywidget.AnyWidget):
    """A row of options, of which one is chosen, as native radio buttons."""

    _esm = _STATIC / "choice.js"

    label = traitlets.Unicode("").tag(sync=True)
    options = traitlets.List(trait=traitlets.Unicode()).tag(sync=True)
    tooltips = traitlets.List(trait=traitlets.Unicode()).tag(sync=True)
    value = traitlets.Unicode("").tag(sync=True)


class Slider(anywidget.AnyWidget):
    """A native slider for a percentage, with a label that screen readers know."""

    _esm = _STATIC / "slider.js"

    label = traitlets.Unicode("").tag(sync=True)
    value = traitlets.Float(0.5).tag(sync=True)  # 0..1
    disabled = traitlets.Bool(False).tag(sync=True)
    continuous = traitlets.Bool(True).tag(sync=True)  # changes while it is dragged


class Output(anywidget.AnyWidget):
    """Python code that can be copied, and files that the browser downloads."""

    _esm = _STATIC / "output.js"

    code = traitlets.Unicode("").tag(sync=True)

    def download(self, name: str, mime_type: str, content: bytes) -> None:
        """Let the browser save a file."""
        self.send({"name": name, "type": mime_type}, buffers=[content])
