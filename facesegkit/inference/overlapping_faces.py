"""Which face gets a pixel where two faces overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facesegkit.geometry import BBox
from facesegkit.inference.results import AnalyzedFace, Face
from facesegkit.labels import LabelScheme
from facesegkit.system.large_images import tiles

# These lie near the centre of their own face; the other parts may reach far from it.
_FEATURES = (
    "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip",
)  # fmt: skip


def assign_pixels(
    found: Sequence[AnalyzedFace], scheme: LabelScheme, size: tuple[int, int]
) -> tuple[Face, ...]:
    """The faces of a photo of (width, height), each with the class ids of its own pixels.

    A ROI may show a neighbour too. A pixel that several faces mark belongs to the one whose model
    output is more confident there, or, if all mark a feature (eyes, nose, mouth, ...), to the one
    whose centre is nearest, in units of its size. A feature that only one face marks is dropped if
    another face is nearer: it would be marked there, too.
    """
    is_feature = np.zeros(len(scheme.class_names), dtype=bool)
    is_feature[scheme.classes_within(_FEATURES)] = True
    faces = []
    for face in found:
        part = face.roi_logits.classes(size)
        about = face.roi, face.roi_logits, face.confidence
        faces.append(Face(*about, *part, scheme, size, points=face.points))
    neighbours = _neighbours([face.window for face in faces])
    each = zip(faces, neighbours, strict=True)
    return tuple(
        _with_own_pixels(face, [faces[i] for i in near], is_feature) for face, near in each
    )


def _neighbours(windows: Sequence[BBox]) -> Iterator[list[int]]:
    """Of each window, the numbers of those that overlap it, in their order.

    One by one, all pairs of a crowd would take longer than its segmentation.
    """
    array = np.array(windows, dtype=np.int64).reshape(-1, 4)
    for number, window in enumerate(array):
        overlaps = (array[:, :2] < window[2:]) & (window[:2] < array[:, 2:])
        yield [other for other in np.flatnonzero(overlaps.all(axis=1)).tolist() if other != number]


def _with_own_pixels(face: Face, neighbours: Sequence[Face], is_feature: NDArray[np.bool_]) -> Face:
    """A face without the pixels that belong to its neighbours."""
    overlaps = [(other, face.window.intersection(other.window)) for other in neighbours]
    boxes = [(other, box) for other, box in overlaps if box is not None]
    if not boxes:
        return face
    own = replace(face, classes=face.classes.copy())
    for other, box in boxes:
        for tile in tiles((box.right - box.left, box.bottom - box.top)):
            tile = tile.moved(box.left, box.top)
            mine, theirs = own.classes_in(tile), other.classes_in(tile)
            is_nearer = _is_nearer(other, face, tile)
            is_theirs = is_nearer & is_feature[mine]
            both = (mine > 0) & (theirs > 0) & ~(is_feature[mine] & is_feature[theirs])
            if both.any():
                here, there = (of.roi_logits.confidence_in(tile) for of in (face, other))
                is_theirs[both] = ((here < there) | ((here == there) & is_nearer))[both]
            mine[is_theirs] = 0
    return own


def _is_nearer(face: Face, other: Face, box: BBox) -> NDArray[np.bool_]:
    """Whether a face's centre is nearer than another's, for each pixel of a box, bool [h, w]."""
    rows, columns = np.ogrid[box.slices]
    x, y = columns + 0.5, rows + 0.5
    rois = face.roi, other.roi
    here, there = (((x - to.x) ** 2 + (y - to.y) ** 2) / to.size**2 for to in rois)
    return here < there
