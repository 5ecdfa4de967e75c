"""The mean over views and models."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from facesegkit.checkpoint import Checkpoint
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, PART_IDS
from facesegkit.pseudo_label.ensemble import VIEWS, Teacher, View

SIDE = 64


class RedAndGreen(nn.Module):
    """Predicts one class where a photo is red, another one where it is green, else background."""

    def __init__(self, red, green, classes):
        super().__init__()
        self.ids, self.classes = (red, green), classes

    def forward(self, images):
        logits = torch.zeros(len(images), self.classes, *images.shape[2:])
        logits[:, 0] = 0.5
        for class_id, channel in zip(self.ids, (0, 1), strict=True):
            logits[:, class_id] = images[:, channel]
        return 20 * logits


def checkpoint(red=1, green=2, scheme=FIVE_FEATURES, crop=FULL_IMAGE):
    model = RedAndGreen(red, green, len(scheme.class_names))
    return Checkpoint("unet", model, scheme, input_size=SIDE, crop=crop)


def photo(side=SIDE):
    pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    pixels[:, 20:32, 14:28, 0] = 255
    pixels[:, 40:52, 36:50, 1] = 255
    return pixels


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_moved_back_to_the_photo(view):
    once, seen = (
        Teacher([checkpoint()], [View()])(photo()),
        Teacher([checkpoint()], [view])(photo()),
    )
    for class_id in (1, 2):
        both = [one.probabilities[0].argmax(dim=0) == class_id for one in (once, seen)]
        assert (both[0] & both[1]).sum() / (both[0] | both[1]).sum() > 0.8


def test_mirrored_views_know_left_from_right():
    left, right = PART_IDS["l_eye"], PART_IDS["r_eye"]

    class SidesOfThePhoto(RedAndGreen):
        def forward(self, images):
            logits = torch.zeros(len(images), self.classes, *images.shape[2:])
            half = images.shape[3] // 2
            logits[:, right, :, :half], logits[:, left, :, half:] = 20, 20
            return logits

    sides = replace(checkpoint(scheme=ALL_PARTS), model=SidesOfThePhoto(0, 0, 19))
    seen = Teacher([sides], [View(), View(mirrored=True)])(photo())
    assert torch.equal(seen.agreement, torch.ones_like(seen.agreement))
    assert (seen.probabilities[0].argmax(dim=0)[:, : SIDE // 2] == right).all()


def test_models_that_disagree_leave_doubt():
    seen = Teacher([checkpoint(1, 2), checkpoint(3, 2)], [View()])(photo())
    assert seen.probabilities[0, [1, 3], 26, 20] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert seen.agreement[0, 26, 20] == 0.5 and seen.agreement[0, 46, 42] == 1


def test_a_crop_is_that_part_of_the_photo():
    crop = RelativeCrop(0.5, 0.5, 0.5)
    seen = Teacher([replace(checkpoint(crop=crop))], VIEWS)(photo(2 * SIDE))
    assert seen.probabilities.shape == (1, 6, SIDE, SIDE)
    assert (seen.probabilities[0].argmax(dim=0) == 2)[8:20, 4:18].float().mean() > 0.9


def test_models_of_a_teacher_have_the_same_classes():
    with pytest.raises(FaceSegKitError, match="^five and all have different classes or input"):
        Teacher([checkpoint(), checkpoint(scheme=ALL_PARTS)], names=["five", "all"])
