"""The training loss: cross-entropy plus Dice, and distillation from a teacher."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from facesegkit.config import TrainConfig
from facesegkit.labels import IGNORED
from facesegkit.system import distributed

# A loss of your own for `train.fit`: logits [B, C, H, W] and the batch's target -> a scalar.
Loss = Callable[[Tensor, Any], Tensor]


def segmentation_loss(
    logits: Tensor, target: Tensor, config: TrainConfig, teacher_probs: Tensor | None = None
) -> Tensor:
    """Weighted cross-entropy plus Dice loss (a scalar), both over all pixels of the batch.

    Cross-entropy alone is low when nearly everything is called background, which is 95 % of the
    pixels. The Dice loss (F. Milletari et al., "V-Net", 2016) makes up for that: it is one minus
    a soft F1, the metric that is reported, and gives every class the same weight. A small
    background weight in the cross-entropy balances the classes as well, but makes the masks too
    wide: at 0.3, eyes had a precision of 0.79 and a recall of 0.90.

    With a teacher, its probabilities (soft targets; G. Hinton et al., "Distilling the Knowledge
    in a Neural Network", 2015) replace the annotation in a part of the cross-entropy: unlike an
    annotation, they say how ambiguous a pixel is.

    If several processes share a batch, the loss is that of the whole batch.

    Args:
        logits: float32 [B, C, H, W]; class 0 is the background.
        target: class ids, int64 [B, H, W]; pixels that are `labels.IGNORED` do not count.
        config: `background_weight` (all other classes weigh 1), `dice_weight`, `teacher_weight`.
        teacher_probs: the teacher's softmax probabilities, float32 [B, C, H, W].
    """
    total = distributed.differentiable_all_reduce
    if (known := target != IGNORED).logical_not().any():
        of_known = partial(_pixels, mask=known)
        logits, target = of_known(logits), target[known].view(1, -1, 1)
        teacher_probs = None if teacher_probs is None else of_known(teacher_probs)
    log_probs = logits.log_softmax(dim=1)
    log_target = log_probs.gather(1, target[:, None])[:, 0]  # of each pixel's own class, [B, H, W]
    weight = torch.where(target == 0, config.background_weight, 1.0)
    cross_entropy = -total((weight * log_target).sum()) / total(weight.sum())
    if teacher_probs is not None:
        pixels = total(torch.tensor(float(target.numel()), device=target.device))
        soft_cross_entropy = -total((teacher_probs * log_probs).sum()) / pixels
        cross_entropy = torch.lerp(cross_entropy, soft_cross_entropy, config.teacher_weight)

    # All three [C]: soft counts of predicted pixels, counts of annotated ones, soft true positives.
    predicted = total(log_probs.exp().sum(dim=(0, 2, 3)))
    annotated = total(torch.bincount(target.flatten(), minlength=logits.shape[1]))
    target_probs = log_target.exp().flatten()
    true_positives = total(torch.zeros_like(predicted).index_add(0, target.flatten(), target_probs))
    # The 1 keeps a class that is absent from the batch from counting as an error.
    dice = (2 * true_positives + 1) / (predicted + annotated + 1)
    return cross_entropy + config.dice_weight * (1 - dice[1:].mean())


def _pixels(values: Tensor, mask: Tensor) -> Tensor:
    """The n pixels of a batch [B, C, H, W] that a mask [B, H, W] selects: [1, C, n, 1]."""
    return values.permute(0, 2, 3, 1)[mask].T[None, :, :, None]
