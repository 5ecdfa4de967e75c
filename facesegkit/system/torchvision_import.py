"""Imports torchvision, even if its compiled operators do not match the installed torch.

The package imports from torchvision only through this module.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError as error:
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    # torchvision's CUDA build beside torch's CPU build (pip and conda can install that) does not
    # load its compiled operators, and its import then fails because they are undefined. No data
    # set and no transform calls one of them, so it is enough to declare their names.
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    torch.library.define("torchvision::nms", schema)
    torch.library.define("torchvision::qnms", schema)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    import torchvision

from torchvision.datasets import VisionDataset  # noqa: E402
from torchvision.tv_tensors import Mask  # noqa: E402

__all__ = ["Mask", "VisionDataset", "torchvision"]
