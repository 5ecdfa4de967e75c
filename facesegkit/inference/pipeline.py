"""Looks for faces in a picture, and at each of them until it stands upright."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import FaceROI, aligned_roi
from facesegkit.image_io import to_float_nchw
from facesegkit.inference.alignment import align_to_landmarks, needs_realignment, warp_crop
from facesegkit.inference.detector import HARDLY_SURE, LEVELS, SURE, Detector, detect_faces, nms
from facesegkit.inference.landmarks import CERTAIN, LANDMARKS, LEAST_CERTAIN, Landmarks
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.results import FaceLogits

_LOOKS = 3  # at a face, until it stands upright
_TURNS = (0, 2, 1, -1)  # quarters of a circle; what a finder takes for upright may be any of these

CONFIDENCE_KEY = "certain"  # in what a model's file says about it

# Surer than this of a face, or surer by so much than it usually is, a model need not look at it
# turned otherwise.
_BEYOND_DOUBT, _LESS_DOUBT = 0.93, 0.06

NO_FACES: Mapping[FaceROI, FaceLogits] = MappingProxyType({})


@dataclass(frozen=True)
class ScaledImage:
    """A photo as it is looked at.

    Args:
        picture: RGB, possibly shrunk.
        size: width and height of the photo in full. All frames are on that.
    """

    picture: Image.Image
    size: tuple[int, int]

    def warp_crop(self, frame: FaceROI, side: int) -> Image.Image:
        """What a frame shows, upright, RGB, `side` pixels wide and high."""
        return warp_crop(self.picture, frame.enlarged(self.picture.width / self.size[0]), side)


@dataclass(frozen=True)
class FaceAnalyzer:
    """A model, and a finder that says where it should look.

    All that is seen is a table of the frames in which faces stand upright, and of what the model
    saw there; the frame that was looked at may be a little off.

    Args:
        model: finds the classes in the cut-out of a face.
        find: the finder, see `detector.detect_faces`.
    """

    model: Model
    find: Detector

    @cached_property
    def can_tell(self) -> bool:
        """Whether the model sees what is a face: at least two of eyes, nose and mouth.

        The others take all frames for faces, upright ones, that the finder gives them.
        """
        return sum(bool(self.model.scheme.classes_within(parts)) for parts in LANDMARKS) >= 2

    @cached_property
    def _certain(self) -> float:
        """How sure the model usually is of faces, as its file says it."""
        usual = self.model.about.get(CONFIDENCE_KEY)
        if not isinstance(usual, (int, float)):
            return CERTAIN
        return min(max(usual, LEAST_CERTAIN), CERTAIN)

    def for_faces(
        self,
        shown: ScaledImage,
        levels: Sequence[int] = LEVELS,
        known: Mapping[FaceROI, FaceLogits] = NO_FACES,
    ) -> dict[FaceROI, FaceLogits]:
        """The faces that are known already, and those that are found at these levels.

        Args:
            shown: the photo.
            levels: see `detect_faces`.
            known: faces, and what was seen of them.
        """
        scale = shown.size[0] / shown.picture.width
        found = detect_faces(shown.picture, self.find, levels, HARDLY_SURE)
        frames = [frame.enlarged(scale) for frame in found]
        frames = [frame for frame in frames if _is_apart(frame, known)]
        sure = [frame for frame in frames if frame.sure > SURE]
        return self.at(shown, sure, known) or self.at(shown, frames[len(sure) :])

    def at_all_of(self, shown: ScaledImage) -> dict[FaceROI, FaceLogits]:
        """The face that fills a photo, if it is one."""
        frame = aligned_roi(shown.size)
        found = self.at_one(shown, frame, turned=False)
        return dict([found]) if found else {}

    def at(
        self,
        shown: ScaledImage,
        frames: Sequence[FaceROI],
        known: Mapping[FaceROI, FaceLogits] = NO_FACES,
    ) -> dict[FaceROI, FaceLogits]:
        """The known faces, and those that are in frames indeed, each once."""
        faces = dict(known)
        for frame in frames:
            found = self.at_one(shown, frame)
            if found and _is_apart(found[0], faces):
                faces[found[0]] = found[1]
        return faces

    def at_one(
        self, shown: ScaledImage, frame: FaceROI, *, turned: bool = True, checked: bool = True
    ) -> tuple[FaceROI, FaceLogits] | None:
        """The face in a frame, which may be turned otherwise than the frame says.

        Args:
            shown: the photo.
            frame: where to look.
            turned: whether the face may be upside down, or lie on a side, in the frame.
            checked: whether the model has to be sure that it is a face. Of one that was there in
                the picture before, an eye may be shut, or all be blurred.

        Returns:
            The frame in which the face stands upright, and what the model saw of it; None where
            no face is to be seen.
        """
        crop, scheme = self.model.crop, self.model.scheme
        whole = np.asarray(shown.warp_crop(frame, crop.whole_side(self.model.input_size)))
        surest: tuple[float, FaceROI, FaceLogits] | None = None
        for quarters in _TURNS if turned else (0,):
            scores = self._score(crop.of(np.rot90(whole, quarters)[None])[0])
            standing = frame.turned(quarters * math.pi / 2)
            if not self.can_tell:
                return standing, FaceLogits(scores, standing.part(crop))
            found = Landmarks.of(scores, scheme, crop)
            if found.may_be_a_face(self._certain):
                scores, upright, found = self._straighten(shown, standing, scores, found)
                sure = found.is_a_face(upright, shown.size, self._certain)
                if sure or not checked and found.may_be_a_face(self._certain):
                    seen = (
                        align_to_landmarks(upright, found),
                        FaceLogits(scores, upright.part(crop)),
                    )
                    if surest is None or found.certainty > surest[0]:
                        surest = found.certainty, *seen
            # A face upside down can look like one with odd parts.
            if surest and surest[0] > min(_BEYOND_DOUBT, self._certain + _LESS_DOUBT):
                break
        return surest and surest[1:]

    def _straighten(
        self, shown: ScaledImage, frame: FaceROI, scores: NDArray[np.float32], found: Landmarks
    ) -> tuple[NDArray[np.float32], FaceROI, Landmarks]:
        """Look again, as long as the face seen in a frame stands askew in it.

        Returns:
            Scores, frame and what there is of a face, as they were given or from another look.
        """
        crop = self.model.crop
        for _ in range(_LOOKS - 1):
            straight = align_to_landmarks(frame, found)
            if not needs_realignment(straight, frame):
                break
            frame = straight
            scores = self._score(shown.warp_crop(frame.part(crop), self.model.input_size))
            found = Landmarks.of(scores, self.model.scheme, crop)
        return scores, frame, found

    def _score(self, square: Image.Image | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores of an RGB square, float32 [C, size, size]."""
        return self.model.predict_logits(to_float_nchw(square))[0]


def typical_confidence(model: Model, photos: NDArray[np.uint8]) -> float:
    """How sure a model is of the faces in aligned photos, RGB uint8 [N, H, H, 3].

    Returns:
        What it is surer than of nine faces in ten; for the model's file, under `CONFIDENCE_KEY`.
    """
    parts = model.crop.of(photos)
    certainties = [
        Landmarks.of(
            model.predict_logits(to_float_nchw(part))[0], model.scheme, model.crop
        ).certainty
        for part in parts
    ]
    return float(np.quantile(certainties, 0.1))


def _is_apart(frame: FaceROI, known: Mapping[FaceROI, FaceLogits]) -> bool:
    return len(nms([*known, frame])) > len(known)
