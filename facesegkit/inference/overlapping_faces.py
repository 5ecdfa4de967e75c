"""Which face gets a pixel where two faces overlap."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facesegkit.geometry import BBox, FaceROI
from facesegkit.inference.results import AnalyzedFace, Face
from facesegkit.labels import LabelScheme
from facesegkit.system.large_images import tiles


def assign_pixels(
    found: Sequence[AnalyzedFace], scheme: LabelScheme, size: tuple[int, int]
) -> tuple[Face, ...]:
    """The faces of a photo of (width, height), each with the class ids of its own pixels.

    A ROI may show a neighbour too. Where ROIs overlap, each pixel belongs to the face whose centre
    is nearest, in units of the face's size.
    """
    faces = []
    parts = [face.roi_logits.classes(size) for face in found]
    for face, (classes, window) in zip(found, parts, strict=True):
        for other, (_, other_window) in zip(found, parts, strict=True):
            if other is not face and window.overlaps(other_window):
                classes = np.where(_is_nearer(face.roi, other.roi, window), classes, np.uint8(0))
        of_face = face.roi, face.roi_logits, face.confidence
        faces.append(Face(*of_face, classes, window, scheme, size))
    return tuple(faces)


def _is_nearer(roi: FaceROI, other: FaceROI, window: BBox) -> NDArray[np.bool_]:
    """Whether a ROI's centre is nearer than another's, for each pixel of a window, bool [h, w]."""
    rows, columns = np.ogrid[window.slices]
    nearer = np.empty((len(rows), columns.size), dtype=bool)
    for tile in tiles((columns.size, len(rows))):
        down, across = tile.slices
        x, y = columns[:, across] + 0.5, rows[down] + 0.5
        here, there = (((x - to.x) ** 2 + (y - to.y) ** 2) / to.size**2 for to in (roi, other))
        nearer[tile.slices] = here <= there
    return nearer
