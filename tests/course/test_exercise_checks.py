"""The checks of the exercises reject typical mistakes with messages that name them.

A mistake is an edit of the solution, "old -> new", or a new solution, "-> new".
"""

import numpy as np
import pytest
from exercise_cells import CHECKS, run_exercise
from PIL import Image

from facesegkit.course.exercises import TryAgain
from facesegkit.labels import FIVE_FEATURES, PART_IDS

PILLOW = "from PIL import Image"
RESIZE = f"{PILLOW}; return np.array(Image.fromarray(ids).resize"
HARD = "(probabilities == probabilities.amax(1, keepdim=True)).float()"
NARROWED = "upsample_nearest(self.narrow(coarse))"
MIXED = "return mixed_images, mixed_labels"
ON_HEAD = "scene.on_head(np.array(right + left, dtype=np.float32))"

WRONG = {
    "check_eye_pixels": [
        ("eye / 8 / 8 -> eye / 8", "too high.*square of 8 x 8"),
        ("eye / 8 / 8 -> 10.1", "too high"),
        ("eye / 8 / 8 -> 5.9", "too low"),
        ("eye / 8 / 8 -> float('nan')", "prediction is nan"),
        ("eye / 8 / 8 -> 'a few'", "expected a number for prediction, got 'a few'"),
    ],
    "check_fraction_where_present": [
        ("-> return (label_maps == part_id).mean()", r"expected 0\.3 .*got 0\.15.*Leave out the"),
        ("-> return (label_maps == part_id).mean((1, 2))", "expected a number"),
        ("if len(present) else 0.0 -> ", "no photo shows one.*got nan"),
    ],
    "check_class_weights": [
        ("-> return len(pixels) * pixels / pixels.sum()", "same total weight.*ten times as"),
        ("-> return pixels.sum() / pixels", "expected 1 for the mean of class_weights"),
        ("-> return 1 / pixels / (1 / pixels).mean()", "weight of 0 for the class without pixels"),
        ("-> return 1.0", "expected 3 numbers"),
        ("weights[present].mean() -> weights.mean()", "mean of 1 over the other two"),
    ],
    "check_largest_gap": [
        ("-> return np.sum(~mask.any(axis=1))", "one piece.*got 11.*above the first pixel"),
        ("np.diff(used).max() - 1 -> np.diff(used).max()", "one piece.*got 1"),
        ("in (0, 1): -> in (1,):", "7 empty columns .*got 0.*in the columns as well"),
        ("in (0, 1): -> in (0,):", "4 empty rows .*got 0"),
        (
            "np.diff(used).max() - 1 -> np.ptp(used) + 1 - len(used)",
            "of 5 rows, got 7.*not the sum",
        ),
        (
            "gap = max(gap, np.diff(used).max() - 1) -> gap += np.diff(used).max() - 1",
            "got 9.*Take the larger",
        ),
        ("if len(used) > 1: -> if True:", "of an empty mask raised an error: zero-size"),
        ("-> return mask", "expected a number"),
    ],
    "check_interpolated_classes": [
        ("-> skin_and_nose = nose_and_l_brow = background_and_hat = set()", "0.*14.*none.*Hint"),
        ("skin_and_nose = set() -> skin_and_nose = {'eyes'}", "skin .1. and nose .2.*too many"),
        ('{"eyes"} -> {"eyes", "nose", "eyebrows"}', "without their own.*too many"),
        ('"mouth", -> ', "some are missing or wrong"),
        ('{"eyes"} -> "eyes"', "expected a set of class names for nose_and_l_brow, got 'eyes'"),
        ('{"eyes"} -> {"l_eye", "r_eye"}', "expected names from eyes, .*got 'l_eye'"),
    ],
    "check_merge_masks": [
        ("in PARTS: -> in class_of_part:", "covers the eyebrow|covers the rest"),
        ("if part in masks: -> if part in masks and part in class_of_part:", "paint hair, too"),
        ("in PARTS: -> in masks:", "covers the rest. Paint in the order of PARTS"),
        ("in PARTS: -> in reversed(PARTS):", "covers the rest.*in reverse is another"),
        ("in PARTS: -> in [*masks][-1:] + [*masks][:-1]:", "in another order.*that of PARTS"),
        ("class_of_part.get(part, 0) -> PARTS.index(part)", "These are part ids"),
        ("start=1 -> start=0", "Class ids start at 1"),
        ("dtype=np.uint8 -> dtype=int", "expected uint8 .*got int"),
        ("return merged -> masks['hair'] &= False; return merged", "modified its arguments.*copy"),
        ("(part, 0) -> (part, 0) if 'skin' in masks else 0", "hair alone.*need not have a mask"),
    ],
    "check_resize_nearest": [
        (f"-> {RESIZE}((width, height)))", "none of them.*copy ids"),
        ("+ 0.5 -> + 0", "the first old pixel that a new pixel covers"),
        ("rows.astype(int) -> rows.round().astype(int)", "index that is too high.*round .*down"),
        (
            "rows.astype(int)[:, None], columns.astype(int) -> "
            "(np.ceil(rows) - 1).astype(int)[:, None], (np.ceil(columns) - 1).astype(int)",
            "on the edge between two old pixels, take the later",
        ),
        (
            "-> h, w = ids.shape; return ids[np.linspace(0, h - 1, height).round().astype(int)"
            "[:, None], np.linspace(0, w - 1, width).round().astype(int)]",
            "You align the corner pixels",
        ),
        (
            "return -> return ids.T; ",
            r"expected uint8 \[4, 6\].*got uint8 \[6, 4\].*rows, the first",
        ),
        ("-> return ids", r"got uint8 \[4, 6\]"),
        ("-> return np.zeros((height, width), np.uint8)", "got 0, none of them"),
    ],
    "check_mirror_classes": [
        ("-> return class_ids", "the same, not flipped"),
        ("-> return class_ids[:, ::-1]", "'A': .*the classes keep their sides"),
        ("-> return class_ids[::-1]", "not top and bottom"),
        ("-> return MIRROR[class_ids[:, ::-1]]", "these are class ids"),
        ("class_ids[:, ::-1] -> class_ids[::-1]", "not top and bottom"),
        ("class_ids[:, ::-1] -> class_ids", "the same, not flipped|pixels have not moved"),
        # Takes two classes for left and right.
        ("return -> new_id[[0, 1, 2, 3]] = [0, 2, 1, 3]; return", "both eyes keeps its id"),
        # Swaps words in the names of the classes, and then those in the names of the parts.
        (
            "-> names = list(scheme.class_names); swap = {'left': 'right', 'right': 'left'}; "
            "others = [' '.join(swap.get(w, w) for w in name.split()) for name in names]; "
            "new = [names.index(o) if o in names else i for i, o in enumerate(others)]; "
            "return np.array(new, dtype=np.uint8)[class_ids[:, ::-1]]",
            "keep their sides.*name need not say",
        ),
        (
            "MIRROR[PART_IDS[parts[0]]] -> "
            "PART_IDS.get({'l': 'r', 'r': 'l'}.get(parts[0][0], parts[0][0]) + parts[0][1:], 0)",
            r"l_lip is the \*lower\* lip",
        ),
    ],
    "check_receptive_fields": [
        ("1 + 2 * 1 + 2 * 2 + 2 * 4 -> 7", "early is 7, which is too low"),  # without strides
        ("1 + 2 * 1 + 2 * 1 + 2 * 2 -> 15", "late is 15, which is too high"),
        ("[(3, 2)] * 5 + [(3, 1)] * 3 -> [(3, 1)] * 9", "9 layers"),
        ("[(3, 2)] * 5 + [(3, 1)] * 3 -> [(3, 1)] * 3 + [(3, 2)] * 5", "field of 69 pixels"),
        ("[(3, 2)] * 5 + [(3, 1)] * 3 -> [(51, 4)] * 2", "only"),
        ("[(3, 2)] * 5 + [(3, 1)] * 3 -> [3, 2]", "has the layer 3; only"),
        ("[(3, 2)] * 5 + [(3, 1)] * 3 -> 255", "expected a list of layers for chain, got 255"),
    ],
    "check_conv_cost": [
        ("-> return channels_in * channels_out * kernel**2", "expected two numbers"),
        ("side // stride -> side", r"the \*output\* have"),
        ("channels_in // groups -> channels_in", "how deep is each filter"),
        ("kernel**2 -> kernel", "expected 4,608 for the parameters.*got 1,536.*kernel x kernel"),
        (
            "return channels_out * filter_size, -> return channels_out * (filter_size + 1),",
            "have no bias",
        ),
        (
            "return channels_out * filter_size, pixels * channels_out * filter_size -> "
            "return pixels * channels_out * filter_size, channels_out * filter_size",
            "returns the MACs first",
        ),
        ("(side // stride) ** 2 -> side // stride", "expected 18,874,368 for the MACs"),
    ],
    "check_inverted_residual": [
        ("groups=wide -> groups=1", "expected a depthwise one on the 64 channels"),
        ("= conv(wide, channels_out, 1) -> = nn.Conv2d(wide, channels_out, 1)", "parameters; exp"),
        ("torch.relu(self.widen(x)) -> self.widen(x)", "lacks a ReLU after the first or"),
        ("torch.relu(self.depthwise -> (self.depthwise", "lacks a ReLU"),
        ("self.narrow(y) -> torch.relu(self.narrow(y))", "ends with a ReLU"),
        ("x + y if self.residual else y -> y", "does not add its input"),
        ("if self.residual else y -> ", "fails for features"),
        ("else y -> else y + x.mean()", "has no residual connection"),
        (
            "conv(channels_in, wide, 1) -> conv(channels_in, wide, 1, stride)",
            "kernel, stride, groups -> kernel, groups",
            "expected the stride 2 in the depthwise convolution .*got 1",
        ),
    ],
    "check_add_fuse": [
        (f"{NARROWED} -> self.narrow(upsample_nearest(coarse))", "while they are still small"),
        (
            "conv(skip, skip, 3) -> conv(2 * skip, skip, 3)",
            f"{NARROWED} + skip -> torch.cat([{NARROWED}, skip], 1)",
            "parameters; expected",
        ),
        (" + skip -> ", "does not depend on `skip`"),
        (" + skip ->  * skip", "does not get a sum with `skip`.*as it is"),
        ("+ skip -> + torch.relu(skip)", "does not get a sum with `skip`"),
        (
            "self.smooth(features) -> self.smooth(torch.relu(features))",
            "does not get a sum",
        ),
        ("torch.relu -> ", "returns negative numbers"),
        (f"{NARROWED} -> self.narrow(coarse)", "8, 8.* and .*16, 16"),
        (
            "smooth(features) -> smooth(features)[:, :, ::2, ::2]",
            "expected shape .*16, 16.* got .*8, 8",
        ),
    ],
    "check_epochs": [
        ("11.2 -> 9.0", r"epochs_with_small_photos is 9, which is too low.*Half of the \*time"),
        ("11.2 -> 7.1", "too low"),  # half of the photos small instead of half of the time
        ("epochs_at_256 = 4.5 -> epochs_at_256 = 0.074", "epochs_at_256.*too low"),
        ("epochs_at_256 = 4.5 -> epochs_at_256 = 268", "epochs_at_256.*too high"),
    ],
    "check_tversky_loss": [
        ("alpha * fp + beta * fn -> beta * fp + alpha * fn", "alpha and beta are swapped"),
        ("index[1:] -> index", "leave out the background"),
        ("(tp + 1) -> tp", "beta * fn + 1 -> beta * fn", "The 1 .* is missing"),
        ("1 - index -> index", "one minus it"),
        (f"is_class = -> probabilities = {HARD}; is_class =", "sum up their probabilities"),
        ("index[1:].mean() -> index[1:].sum()", "class 1 the check has TP = .*, FP = .*, FN = .*;"),
        ("1 - index[1:].mean() -> (1 - index[1:]).sum()", "sum over the classes; take their mean"),
        (
            "(0, 2, 3) -> (2, 3)",
            "index[1:].mean() -> index[:, 1:].mean()",
            "has sums per photo; sum over the whole batch",
        ),
        ("-> return 0.0", r"expected 0\.\d+ for tversky_loss.*got 0\. Hint: For class 1"),
        ("index[1:].mean() -> index[1:].mean().item()", "no gradient.*item"),
        ("index[1:].mean() -> index[1:].mean().detach() + 0 * tp.sum()", "gradient .* is 0 every"),
        ("-> return probabilities.mean(dim=(2, 3))", "expected a number"),
    ],
    "check_trapezoid": [
        ("-> return min(1, progress / warmup, (1 - progress) / cooldown)", "0.5.*division.*be 0"),
        (
            "progress > 1 - cooldown -> progress > warmup",
            "(1 - progress) / cooldown -> (1 - progress) / (1 - warmup)",
            r"trapezoid\(0.5, .*got 0.625.*stays at its highest",
        ),
        ("return progress / warmup -> return 1.0", r"0.2, 0.4\), got 1\..*At the very start"),
        ("cooldown=0.3 -> cooldown=0.5", r"0\.5 for trapezoid\(0.85, 0.1\).*fit passes no cool-"),
        ("-> return 'fast'", "expected a number"),
    ],
    "check_cut_mix": [
        ("roll(-1 -> roll(1", "images .* come from the previous photo.*which direction"),
        (
            "slice(top, bottom), slice(left, right) -> slice(left, right), slice(top, bottom)",
            "the images .* have rows and columns of the box swapped; rows come first",
        ),
        ("images.clone(), labels.clone() -> images, labels", "modified its arguments.*copy"),
        (f"{MIXED} -> return mixed_images, labels", "the labels .* are unchanged"),
        (f"{MIXED} -> return images, mixed_labels", "the images .* are unchanged"),
        (f"{MIXED} -> return mixed_images", "two tensors"),
        (f"{MIXED} -> return images.roll(-1, 0), labels", "the next photos as a whole"),
        (
            "slice(top, bottom), slice(left, right) -> "
            "slice(top, bottom + 1), slice(left, right + 1)",
            "one row and one column too large; its last ones are not included",
        ),
        (
            "images.clone(), labels.clone() -> images.roll(-1, 0), labels.roll(-1, 0)",
            "[inside] = images.roll(-1, dims=0)[inside] -> [inside] = images[inside]",
            "are mixed outside the box, not inside",
        ),
        (
            f"{MIXED} -> return mixed_images, labels.flip(0)",
            r"labels .* have \d+ inside .* and \d+",
        ),
        (f"{MIXED} -> return mixed_images, labels.long()", "torch.uint8"),
    ],
    "check_flip_average": [
        ("-> return model(images)", "those of the images as they are"),
        ("-> return model(images.flip(3)).flip(3)", "of the flipped images alone"),
        ("model(images.flip(3)).flip(3) -> model(images.flip(3))", "flip them back before"),
        (" / 2 -> ", "the sum of both, not their mean"),
        ("flip(3)).flip(3) -> flip(2)).flip(2)", "turned upside down"),
        ("model(images.flip(3)).flip(3) -> model(images.flip(3)).flip(1, 3)", "not the mean of"),
        ("-> return model(images).argmax(1)", r"expected logits \[2, 3, 4, 6\], got \[2, 4, 6\]"),
        ("-> return 'twice'", "got 'twice'"),
    ],
    "check_reading": [
        ("iou = 60 / (60 + 10 + 30) -> iou = 0.86", "iou is 0.86, which is too high"),  # precision
        ("2 * 60 / (2 * 60 + 10 + 30) -> 0.6", "f1 is 0.6.*count twice"),
        ('best_by_f1 = "B" -> best_by_f1 = "A"', "best_by_f1 is 'A'"),  # what many expect
        ('best_by_iou = "A" -> best_by_iou = "B"', "best_by_iou is 'B'"),
        ('best_by_iou = "A" -> best_by_iou = "a"', "expected one of A, B"),
    ],
    "check_mirrored": [
        ("(images.flip(-1)).flip(-1) -> (images).flip(-1)", "images have to be flipped as well"),
        ("(images.flip(-1)).flip(-1) -> (images.flip(-1))", "mirrored, as .*Flip them back"),
        (
            "(images.flip(-1)).flip(-1) -> (images.flip(-2)).flip(-2)",
            "columns are the last dimension",
        ),
        ("+ flipped) / 2 -> + flipped)", "This is the sum"),
        ("-> return self.model(images)", "logits of the images alone"),
        ("-> return self.model(images.flip(-1)).flip(-1)", "of the flipped images alone"),
        ("-> return self.model(images).argmax(1)", r"expected float32 \[2, 4, 6, 9\].*got int64"),
        ("-> return images.mul_(0)", "modified the images"),
    ],
    "check_boundary_f1": [
        (
            "-> return 2 * (target & predicted).sum() / (target.sum() + predicted.sum())",
            "F1 of the areas",
        ),
        (
            "return 2 * precision * recall / (precision + recall) -> return precision",
            "half of the square.*the precision alone",
        ),
        ("return 2 * precision * recall / (precision + recall) -> return recall", "recall alone"),
        (
            "return 2 * precision * recall / (precision + recall) -> "
            "return (precision + recall) / 2",
            "the plain mean",
        ),
        ("range(tolerance) -> range(0)", "shifted by one pixel.*as many steps as the tolerance"),
        ("if precision + recall == 0: -> if False:", "both 0 here"),
        ("near_predicted).sum() -> predicted_boundary).sum()", "by as many steps"),
    ],
    "check_win_rate": [
        ("second[sample] -> second[rng.integers(len(first), size=len(first))]", r"\*same\* photos"),
        ("rng.integers(len(first), size= -> rng.permutation(", "with replacement"),
        ("wins / times -> wins", "between 0 and 1"),
        ("-> return 1.0", "slightly worse"),
    ],
    "check_face_width": [
        ("600 * 256 / 4000 -> 600", "too high.*divide the sides of the photo"),
        ("600 * 256 / 4000 -> 51.2", "too high"),  # the shorter side was made 256
        ("600 * 256 / 4000 -> 9", "too low"),
    ],
    "check_cutout": [
        ("255, 0 -> 1, 0", r"alpha of 255.*the values are \[0, 1\].*True into 255"),
        ("255, 0 -> 0, 255", "54 of 54 pixels differ"),
        ("|= -> =", "255 on 18 pixels.*combine the masks of several"),
        ("-> return pixels * segmentation.mask(names[0])[..., None]", r"9, 4\].*9, 3\].*dstack"),
        (".astype(np.uint8) -> .astype(float)", "got float64"),
        ("dstack([pixels -> dstack([0 * pixels", "photo's own colours"),
    ],
    "check_segment_box": [
        ("-> return segmenter(photo.crop(box)).labels", r"40, 60\].*12, 20\].*photo's height"),
        ("-> return segmenter(photo).labels", "background outside the box"),
        ("[top:bottom, left:right] -> [left:right, top:bottom]", "the error .*rows come first"),
        ("-> return np.zeros(photo.size, dtype=np.uint8)", r"got uint8 \[60, 40\]"),
        ("[top:bottom, left:right] -> [: bottom - top, : right - left]", "background outside the"),
        ("photo.crop(box) -> photo.resize((right - left, bottom - top))", "inside .*pass the crop"),
    ],
    "check_best_angle": [
        ("append(confidence) -> append(is_part.sum())", "got 0.*most pixels"),
        (".mean() if is_part.any() else 0 -> .sum()", "got 0"),
        ("if is_part.any() else 0 -> ", "got 90.*scores 0"),
        ("[is_part].mean() -> .mean()", "got 270.*includes the background"),
        ("return angles[int(np.argmax(confidences))] -> return 2", "got 2.*index into the list"),
        ("-> return 45", "got 45.*one of the given angles"),
        ("-> return [180, 0]", "expected a number"),
    ],
    "check_limits": [
        ("1000 * 261e6 -> 261e6", r"at_peak_ms is 0.0058, which is too low.*\*milliseconds\*"),
        ("(50 + 4 + 46) / (50 + 46) -> 100 / 4", "best_speedup is 25, which is too high"),
        ('"decode" -> "network"', "does each change save"),  # what many expect
        ('"decode" -> "both"', 'expected "network" or "decode"'),
    ],
    "check_roofline": [
        ("4 * (inputs -> (inputs", r"expected 17.* got 71.*4 bytes"),
        ("inputs + weights + outputs -> inputs + outputs", "weights have to be read, too"),
        ("inputs + weights + outputs -> inputs + weights", r"read \*and\* the output is written"),
        ("inputs + weights + outputs -> weights + outputs", r"read \*and\* the output is written"),
        ("channels_in // groups -> channels_in", "channels_in / groups input channels"),
        ("macs / moved -> moved / macs", "bytes per MAC"),
        ("min(peak -> max(peak", "expected 60,000,000,000 for the MACs per second.*is lower"),
        ("min(peak, intensity * bandwidth) -> peak", r"expected 1.99\d*e\+10 .*is lower"),
        ("return intensity, min -> return min", "expected two numbers"),
        ('= ["peak", "bandwidth" -> = ["peak", "peak"', "layer 2 is not the peak.*meet at 6"),
        ('= ["peak" -> = ["memory"', "limits has 'memory' as number 1"),
        ('= ["peak", -> = [', "expected 4 answers in limits"),
    ],
    "check_quantize": [
        ("return quantized, scales -> return quantized, scales[0]", r"4 numbers .*got shape \[1\]"),
        (".max(axis=(1, 2, 3)) -> .max().repeat(4)", "of channel 0, got"),
        ("np.abs(weights).max -> weights.max", "the scale of channel"),
        ("np.round -> np.trunc", r"\*nearest\*"),
        (".astype(np.int8) -> ", "expected int8"),
        ("return quantized, scales -> return scales", "two things"),
    ],
    "check_fold": [
        ("scale[None, :, None, None] -> scale[:, None, None, None]", "does the scale belong to"),
        ("return folded -> folded.bias.data *= scale; return folded", "constant in each channel"),
        ("copy.deepcopy(conv) -> conv", "modified its arguments.*copy"),
        ("return folded -> return folded.weight", "expected a convolution"),
        (
            "return folded -> import torch; return torch.nn.Sequential(folded)",
            "returns a Sequential; expected a convolution",
        ),
        ("return folded -> folded.stride = (1, 1); return folded", "keep kernel, stride and padd"),
    ],
    "check_one_pixel": [
        ("f1_of_eye = 0.92 -> f1_of_eye = 0.96", "f1_of_eye is 0.96.* too high.*43 x 16"),
        ("f1_of_eye = 0.92 -> f1_of_eye = 0.85", "f1_of_eye.*too low"),  # that is the IoU
        ("f1_of_nose = 0.98 -> f1_of_nose = 0.92", "f1_of_nose.*too low.*77 x 100"),
    ],
    "check_safety_mask": [
        ('"background" -> None', "painted over, but still labelled"),
        ('"background" -> "cloth"', "to belong to the background"),
        ("right + left -> [(-98, 110), (98, 110), (60, 200), (-60, 200)]", "tip of the nose"),
        ("right + left -> [(-98, -10), (98, -10), (60, 200), (-60, 200)]", "leave the eyes"),
        (
            f"{ON_HEAD} -> "
            "scene.canvas.patch(np.float32([(-44, 277), (556, 277), (556, 642), (-44, 642)]))",
            "scene.lit(patch, colour) -> colour",
            "only a part of the face",
        ),
        (  # right only on the frontal head
            f"{ON_HEAD} -> scene.canvas.patch(np.float32(right + left) + (256, 242))",
            "scene.lit(patch, colour) -> colour",
            "a turned head.*on_head",
        ),
    ],
    "check_balanced_rows": [
        ("-> return rows", "12 rows of the group 'light', which has 5.*got 5.*up to its size"),
        (
            "target = min(sizes.max(), most * size) -> target = sizes.max()",
            "6 rows of the group 'dark'.*most=3; got 12.*more than 3 times",
        ),
        ("sizes.max() -> sizes.min()", "12 rows of the group 'tan'.*got 2.*Leave no row out"),
        (
            "target = min(sizes.max(), most * size) -> target = most * size",
            "12 rows of the group 'tan', which has 12.*got 36.*as the largest group has",
        ),
        (
            "np.resize(rows[groups == name], target) -> "
            "np.pad(rows[groups == name], (0, target - size), mode='edge')",
            "one row occurs 8 times, another one 1 times.*in turn",
        ),
        ("rows[groups == name] -> np.flatnonzero(groups == name)", "not their positions"),
        (
            "-> names, sizes = np.unique(groups, return_counts=True); "
            "return np.array([1 / sizes[names == group][0] for group in groups])",
            "expected rows, int64.*got float64",
        ),
        ("most * size -> 3 * size", "10 rows of the group 'light'.*most=2; got 12"),
    ],
    "check_replace_background": [
        (
            "F.avg_pool2d(padded, 3, stride=1) -> person",
            "hard edge",
        ),
        ("alpha * images + (1 - alpha) -> (1 - alpha) * images + alpha", "1.00 of the photo"),
        ("labels != 0 -> labels == 1", "skin, hair and nose"),
        ('mode="replicate" -> mode="constant"', "pad with 'replicate'"),
        (" + (1 - alpha) * backgrounds -> .double()", "expected float32.*got float64"),
        ("return -> return images.copy_(", "* backgrounds -> * backgrounds)", "modified"),
        (
            "return -> return",
            "* backgrounds -> * backgrounds).numpy()",
            "alpha * images -> (alpha * images",
            "expected a tensor.*got ndarray",
        ),
    ],
}

RIGHT = [
    ("check_eye_pixels", "eye / 8 / 8 -> 9.9"),  # it need not be exact
    ("check_eye_pixels", "eye / 8 / 8 -> 6.1"),
    ("check_resize_nearest", f"-> {RESIZE}((width, height), 0))"),
    ("check_epochs", "11.2 -> 11"),
    ("check_face_width", "600 * 256 / 4000 -> 42"),
    (
        "check_cutout",
        f"return np.dstack( -> {PILLOW}; return Image.fromarray(np.dstack(",
        "]) -> ]))",
    ),
    ("check_safety_mask", "right + left -> right + left[::2]"),
]


def test_every_check_is_tested():
    assert set(WRONG) == set(CHECKS)


@pytest.mark.filterwarnings("ignore")  # means of nothing
@pytest.mark.parametrize(
    ("check", "mistake"), [(check, mistake) for check in WRONG for mistake in WRONG[check]]
)
def test_wrong_answers(check, mistake):
    *edits, message = mistake
    with pytest.raises(TryAgain, match=message):
        run_exercise(check, *edits)


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: right[0])
def test_other_right_answers(right):
    run_exercise(*right)


def test_the_interpolated_classes_agree_with_pillow():
    answers = run_exercise("check_interpolated_classes")
    for one, other in [("skin", "nose"), ("background", "hat"), ("nose", "l_brow")]:
        two = np.array([[PART_IDS[one], PART_IDS[other]]], dtype=np.uint8)
        row = np.asarray(Image.fromarray(two).resize((64, 1), Image.Resampling.BILINEAR))
        found, own = (set(FIVE_FEATURES.merge(ids).flat) for ids in (row, two))
        between = {FIVE_FEATURES.class_names[class_id] for class_id in found - own - {0}}
        assert between == answers[f"{one}_and_{other}"]
