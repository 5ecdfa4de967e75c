"""The teacher: the mean prediction of several models over several views of each photo.

Averaging over flipped, scaled and rotated views (test-time augmentation) removes a part of a
model's errors, and averaging over models another one. What remains is worth learning from.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesegkit.checkpoint import Checkpoint
from facesegkit.errors import FaceSegKitError
from facesegkit.models import FaceParser
from facesegkit.transforms import to_float_images


@dataclass(frozen=True)
class View:
    """How a photo is changed before a model sees it."""

    degrees: float = 0.0  # rotation, clockwise
    scale: float = 1.0  # of the face's size
    mirrored: bool = False

    def matrix(self) -> Tensor:
        """From coordinates of the photo to those of the view, both around 0: float32 [2, 2]."""
        angle, sign = math.radians(self.degrees), -1.0 if self.mirrored else 1.0
        cosine, sine = math.cos(angle) * self.scale, math.sin(angle) * self.scale
        return torch.tensor([[sign * cosine, -sign * sine], [sine, cosine]])


VIEWS = (
    View(), View(mirrored=True), View(degrees=8), View(degrees=-8, mirrored=True),
    View(scale=0.87), View(scale=1.12, mirrored=True),
)  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """What a teacher says about a batch of photos, at half the resolution of its models' input."""

    probabilities: Tensor  # mean over views and models, float32 [B, C, h, w]
    agreement: Tensor  # fraction of the views and models with the same class, float32 [B, h, w]


@dataclass(frozen=True)
class ModelId:
    """Which model predicted masks, and under which licence they are."""

    name: str
    sha256: str  # of the weights
    licence: str

    @classmethod
    def of(cls, name: str, checkpoint: Checkpoint) -> "ModelId":
        """Identify a model, which the user calls by this name."""
        digest = hashlib.sha256()
        for weights in checkpoint.model.state_dict().values():
            digest.update(weights.cpu().numpy().tobytes())
        return cls(name, digest.hexdigest(), str(checkpoint.about.get("licence", "not stated")))


class Teacher:
    """The mean of models with the same classes and crop, over views.

    `names` of the models are recorded in the data sets that it labels. Raises a FaceSegKitError if
    classes or crops differ.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        views: Sequence[View] = VIEWS,
        names: Sequence[str] | None = None,
    ) -> None:
        names = names or [checkpoint.arch for checkpoint in checkpoints]
        self.ids = [ModelId.of(*one) for one in zip(names, checkpoints, strict=True)]
        self.models = [checkpoint.model.eval() for checkpoint in checkpoints]
        self.views = views
        first = checkpoints[0]
        self.scheme, self.crop, self.input_size = first.scheme, first.crop, first.input_size
        for name, other in zip(names, checkpoints, strict=True):
            if (other.scheme, other.crop) != (self.scheme, self.crop):
                both = f"{names[0]} and {name} have different classes or input regions"
                raise FaceSegKitError(f"{both}; give models that agree.")

    @torch.inference_mode()
    def __call__(self, photos: Tensor) -> Prediction:
        """Predict the classes in aligned photos, RGB uint8 [B, H, H, 3]."""
        images = to_float_images(photos)
        seen = [self._of_view(model, images, view) for view in self.views for model in self.models]
        weights = torch.stack([weight for _, weight in seen])
        every = torch.stack([probabilities for probabilities, _ in seen])
        mean = every.sum(dim=0) / weights.sum(dim=0)
        same = (every.argmax(dim=2) == mean.argmax(dim=1)) * weights[:, :, 0]
        return Prediction(mean, same.sum(dim=0) / weights[:, :, 0].sum(dim=0))

    def _of_view(self, model: nn.Module, images: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """Probabilities [B, C, h, w] that a view gives, and 1 where it shows the crop, else 0."""
        matrix, crop = view.matrix(), self.crop
        to_photo = _grid(torch.linalg.inv(matrix), len(images), self.input_size) * crop.size
        to_photo = to_photo + torch.tensor([2 * crop.x - 1, 2 * crop.y - 1])
        shown = F.grid_sample(images, to_photo, align_corners=False, padding_mode="border")
        shown = shown.contiguous(memory_format=torch.channels_last)
        logits = model.half_logits(shown) if isinstance(model, FaceParser) else model(shown)
        probabilities = logits.float().softmax(dim=1)
        if view.mirrored:
            probabilities = probabilities[:, self.scheme.mirrored_classes]
        grid = _grid(matrix, len(images), logits.shape[2])
        ones = torch.ones_like(probabilities[:, :1])
        both = torch.cat([probabilities, ones], dim=1)
        sampled = F.grid_sample(both, grid, align_corners=False)
        return sampled[:, :-1], sampled[:, -1:]


def _grid(matrix: Tensor, batch: int, side: int) -> Tensor:
    """Where each pixel of a square image comes from, by a matrix [2, 2]: [B, side, side, 2]."""
    affine = torch.cat([matrix, torch.zeros(2, 1)], dim=1).expand(batch, 2, 3)
    return F.affine_grid(affine, [batch, 1, side, side], align_corners=False)
