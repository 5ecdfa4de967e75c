"""Models and detectors whose output is known, and photos for them."""

import numpy as np
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.inference.alignment import MEAN_BOX, MEAN_POINTS
from facesegkit.inference.onnx_model import DetectorModel, Model
from facesegkit.labels import FIVE_FEATURES, LabelScheme

GREY = (128, 128, 128)
NOSES = LabelScheme("noses", {"nose": ("nose",)}, [(0, 0, 255)])


def model_by_colour(scheme=FIVE_FEATURES, tolerance=0.5):
    """A model that predicts each class where the photo has about the class's own colour."""
    colours = scheme.palette[1:, :, None, None] / np.float32(255)

    def predict_logits(images):
        closeness = tolerance**2 - np.square(images[:, None] - colours).sum(axis=2)
        return np.concatenate([np.zeros_like(closeness[:, :1]), closeness], axis=1)

    return Model(predict_logits, scheme, input_size=256)


def photo_with(boxes, width, height, scheme=FIVE_FEATURES):
    """A grey photo with a box (left, top, right, bottom) in the colour of each class."""
    photo = Image.new("RGB", (width, height), GREY)
    colours = dict(zip(scheme.classes, scheme.colours, strict=True))
    for name, box in boxes.items():
        photo.paste(colours[name], box)
    return photo


def detector_of(*rois, score=0.9):
    """A detector that sees faces in these ROIs, in every photo."""

    def detect(photo):
        assert photo.dtype == np.uint8 and photo.ndim == 3
        points = [roi.on_photo(MEAN_POINTS) for roi in rois]
        boxes = [np.concatenate([five.min(0), five.max(0)]) for five in points]
        scores = np.full(len(rois), score)
        return np.array(boxes).reshape(-1, 4), np.array(points).reshape(-1, 5, 2), scores

    return detect


def upright(x, y, size):
    return FaceROI(x, y, size, 0.0)


def output_with(size, *faces):
    """A detection network's output, [N, 15], for an image of (width, height).

    Each face is a ROI, and the logit that the cell of stride 8 at its nose has.
    """
    width, height = size
    cells = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
    output = np.full((cells, 15), -9, dtype=np.float32)
    for roi, logit in faces:
        ((x, y),) = roi.on_photo((MEAN_BOX[None, :2] + MEAN_BOX[None, 2:]) / 2)
        column, row = (min(int(v / 8), n // 8 - 1) for v, n in ((x, width), (y, height)))
        half = roi.size * (MEAN_BOX[2:] - MEAN_BOX[:2]) / 2
        centre = np.array([column + 0.5, row + 0.5]) * 8
        points = (roi.on_photo(MEAN_POINTS) - centre) / 8
        offset, shape = (np.array([x, y]) - centre) / 8, np.log(half / 8)
        output[row * (width // 8) + column] = (logit, *offset, *shape, *points.ravel())
    return output


def network_of(*rois, size, sides, second_logit=4):
    """A detector's network that sees these ROIs of a photo of `size` at every scale.

    It appends the longest side of each image to `sides`, and in every aligned crop sees a face with
    the second logit.
    """

    def predict(images):
        batch, _, height, width = images.shape
        if batch == 2:  # an aligned crop and its mirror image
            face = upright(width / 2, height / 2, width), second_logit
            return np.stack([output_with((width, height), face)] * 2)
        sides.append(max(width, height))
        scale = width / size[0]
        seen = [upright(r.x * scale, r.y * height / size[1], r.size * scale) for r in rois]
        return output_with((width, height), *((roi, 3) for roi in seen))[None]

    return DetectorModel(predict, (0.0, 0.5, 0.5))
