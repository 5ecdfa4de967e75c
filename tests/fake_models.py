"""Models and detectors whose output is known, and photos for them."""

import numpy as np
from PIL import Image

from facesegkit.geometry import FULL_IMAGE
from facesegkit.inference.landmarks import MEAN_EYES, MEAN_MOUTH, MEAN_NOSE
from facesegkit.inference.onnx_model import Model
from facesegkit.labels import FIVE_FEATURES, LabelScheme

GREY = (128, 128, 128)
NOSES = LabelScheme("noses", {"nose": ("nose",)}, [(0, 0, 255)])  # not enough to verify a face

# Centroid, and width and height, of parts on an aligned photo, in fractions of its side.
PARTS = {
    "eyes": (MEAN_EYES, (0.3, 0.03)),
    "nose": (MEAN_NOSE, (0.12, 0.12)),
    "lips": (MEAN_MOUTH, (0.16, 0.06)),
}


def face_logits(parts=PARTS, crop=FULL_IMAGE, margin=6.0, side=128):
    """Logits float32 [6, side, side] of FIVE_FEATURES for the crop of a face with these parts."""
    logits = np.zeros((6, side, side), dtype=np.float32)
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    x, y = crop.x + crop.size * columns, crop.y + crop.size * rows
    for name, (centroid, (width, height)) in parts.items():
        inside = (abs(x - centroid[0]) < width / 2) & (abs(y - centroid[1]) < height / 2)
        logits[FIVE_FEATURES.class_names.index(name), inside] = margin
    return logits


def model_by_colour(scheme=FIVE_FEATURES):
    """A model that predicts each class where the photo has about the class's own colour."""
    colours = scheme.palette[1:, :, None, None] / np.float32(255)

    def predict_logits(images):
        closeness = 0.25 - np.square(images[:, None] - colours).sum(axis=2)
        return np.concatenate([np.zeros_like(closeness[:, :1]), closeness], axis=1)

    return Model(predict_logits, scheme, input_size=256)


def photo_with(boxes, width, height):
    """A grey photo with a box (left, top, right, bottom) in the colour of each class."""
    photo = Image.new("RGB", (width, height), GREY)
    colours = dict(zip(FIVE_FEATURES.classes, FIVE_FEATURES.colours, strict=True))
    for name, box in boxes.items():
        photo.paste(colours[name], box)
    return photo


def detector_of(*faces, min_pixels=0, scales=None, confidence_logit=4):
    """A detector that sees upright faces (x and size in fractions of the width, y of the height).

    It misses faces below `min_pixels`, and appends the longest side of each image to `scales`;
    `confidence_logit` is that of a face of 64 pixels.
    """

    def detect(images):
        if scales is not None:
            scales.append(max(images.shape[2:]))
        height, width = (side // 8 for side in images.shape[2:])
        output = np.full((1, 6, height, width), -9, dtype=np.float32)
        for x, y, size in faces:
            column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
            log_size = np.log2(size * 8 * width / 64)
            offsets = x * width - column - 0.5, y * height - row - 0.5
            if size * 8 * width >= min_pixels:
                logit = confidence_logit - 0.1 * abs(log_size)
                output[0, :, row, column] = (logit, *offsets, log_size, 1, 0)
        return output

    return detect
