"""Imports torchvision, also where its compiled operators do not fit the installed torch.

The package takes what it needs of torchvision from here and from nowhere else.
"""

import sys

import torch


def _make_importable() -> None:
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        # torchvision's CUDA build beside torch's CPU build (pip and conda can end up there) does
        # not load its compiled operators, and its import then fails for want of their names. No
        # data set and no transform calls one of them, so that declaring the names is enough.
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define("torchvision::nms", schema)
        torch.library.define("torchvision::qnms", schema)
        for name in list(sys.modules):
            if name.partition(".")[0] == "torchvision":
                del sys.modules[name]


_make_importable()

import torchvision  # noqa: E402
from torchvision.datasets import VisionDataset  # noqa: E402
from torchvision.tv_tensors import Mask  # noqa: E402

__all__ = ["Mask", "VisionDataset", "torchvision"]
