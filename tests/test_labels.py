"""Parts and schemes: ids and colours that never change, merging, mirroring, bad schemes."""

import json
import re

import numpy as np
import pytest

from facesegkit import labels
from facesegkit.errors import FaceSegKitError

LABEL_MAP = np.arange(19, dtype=np.uint8)[None]  # every part once


def test_part_ids():
    assert dict(enumerate(labels.PARTS)) == {
        0: "background", 1: "skin", 2: "nose", 3: "eye_g", 4: "l_eye", 5: "r_eye", 6: "l_brow",
        7: "r_brow", 8: "l_ear", 9: "r_ear", 10: "mouth", 11: "u_lip", 12: "l_lip", 13: "hair",
        14: "hat", 15: "ear_r", 16: "neck_l", 17: "neck", 18: "cloth",
    }  # fmt: skip


def test_five_features():
    names = ("background", "eyes", "eyebrows", "nose", "mouth", "lips")
    assert labels.FIVE_FEATURES.class_names == names
    merged = [0, 0, 3, 0, 1, 1, 2, 2, 0, 0, 4, 5, 5, 0, 0, 0, 0, 0, 0]
    assert labels.FIVE_FEATURES.merge(LABEL_MAP).tolist() == [merged]
    assert labels.FIVE_FEATURES.palette.tolist() == [
        [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255],
    ]  # fmt: skip


def test_all_parts_keeps_every_id():
    np.testing.assert_array_equal(labels.ALL_PARTS.merge(LABEL_MAP), LABEL_MAP)
    colours = labels.ALL_PARTS.palette.astype(int)
    distances = np.abs(colours[:, None] - colours[None]).max(axis=2) + 255 * np.eye(19, dtype=int)
    assert distances.min() >= 50  # one can tell them apart


def test_later_parts_are_painted_over_earlier_ones():
    masks = {
        "hair": np.array([[0, 0, 0, 1]]),  # 13
        "nose": np.array([[0, 255, 255, 0]]),  # 2
        "skin": np.array([[True, True, True, True]]),  # 1
        "u_lip": np.array([[0, 0, 1, 1]]),  # 11
    }
    label_map = labels.paint_parts(masks, (1, 4))
    assert label_map.tolist() == [[1, 2, 11, 13]] and label_map.dtype == np.uint8
    assert labels.paint_parts({}, (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_mirroring_swaps_left_and_right_eyes_brows_and_ears():
    label_map = np.array([[4, 6, 8, 0, 2], [5, 7, 9, 15, 12]], dtype=np.uint8)
    assert labels.mirror_label_map(label_map).tolist() == [[2, 0, 9, 7, 5], [12, 15, 8, 6, 4]]
    assert [part for part in range(19) if labels.MIRROR[part] != part] == [4, 5, 6, 7, 8, 9]


def test_own_scheme_merges_and_colours():
    classes = {"face": ["skin", "nose"], "lids": ["r_eye"]}
    scheme = labels.LabelScheme("own", classes, [(1, 2, 3), (4, 5, 6)])
    class_ids = scheme.merge(np.array([[0, 1, 2, 4, 5]], dtype=np.uint8))
    assert class_ids.tolist() == [[0, 1, 1, 0, 2]]
    assert scheme.colour(class_ids)[0, 1:].tolist() == [[1, 2, 3], [1, 2, 3], [0, 0, 0], [4, 5, 6]]
    with pytest.raises(FaceSegKitError, match="part id 77, but ids end at 18: the data set"):
        scheme.merge(np.array([[3, 77, 0]], dtype=np.uint8))


def test_classes_that_consist_of_some_parts():
    classes = {"lids": ["l_eye", "r_eye"], "nose": ["nose"]}
    scheme = labels.LabelScheme("own", classes, [(1, 2, 3), (4, 5, 6)])
    assert scheme.classes_within(["l_eye", "r_eye", "skin"]) == [1]
    assert scheme.classes_within(["l_eye", "nose"]) == [2]  # without half of the lids
    assert scheme.classes_within(iter(("nose", "r_eye", "l_eye"))) == [1, 2]


@pytest.mark.parametrize("scheme", [labels.FIVE_FEATURES, labels.ALL_PARTS])
def test_scheme_survives_json(scheme):
    again = labels.LabelScheme.from_dict(json.loads(json.dumps(scheme.to_dict())))
    assert again.to_dict() == scheme.to_dict()
    np.testing.assert_array_equal(again.palette, scheme.palette)
    np.testing.assert_array_equal(again.merge(LABEL_MAP), scheme.merge(LABEL_MAP))


def test_scheme_without_colours_gets_distinct_ones():
    scheme = labels.LabelScheme.from_dict({"classes": {"a": ["nose"], "b": ["hat"], "c": ["hair"]}})
    assert len({tuple(colour) for colour in scheme.palette.tolist()}) == 4
    assert scheme.name == "own"


def test_distinct_colours_are_those_of_pascal_voc():
    colours = labels.distinct_colours(20)
    assert colours[:4] == [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert colours[7:9] == [(64, 0, 0), (192, 0, 0)] and colours[19] == (0, 64, 128)  # VOC's screen
    assert labels.distinct_colours(64)[63] == (32, 0, 0)
    assert len({(0, 0, 0), *labels.distinct_colours(255)}) == 256


@pytest.mark.parametrize(
    ("classes", "colours", "said"),
    [
        ({}, [], "has no class; define at least one.$"),
        ({"eyes": ["l_eye", "left"]}, [(1, 2, 3)], "unknown part 'left' in the class 'eyes'"),
        (
            {"rest": ["background"]},
            [(1, 2, 3)],
            "in the class 'rest'; parts are skin, nose, eye_g",
        ),
        (
            {"background": ["skin"]},
            [(1, 2, 3)],
            "'background', which is the name of class 0; rename it.$",
        ),
        ({"eyes": []}, [(1, 2, 3)], "a class needs a list of part names"),
        ({"nose": "nose"}, [(1, 2, 3)], "a class needs a list of part names"),
        ({"a": ["nose"], "b": ["nose"]}, [(1, 2, 3)] * 2, "the part 'nose' in both 'a' and 'b'"),
        ({"a": ["nose"]}, [], "has 1 classes but 0 colours"),
        ({"a": ["nose"]}, [(1, 2)], r"has the colour \(1, 2\)"),
        ({"a": ["nose"]}, [(1, 2, 256)], r"has the colour \(1, 2, 256\)"),
    ],
)
def test_bad_schemes(classes, colours, said):
    with pytest.raises(FaceSegKitError, match=said):
        labels.LabelScheme("own", classes, colours)


def test_invalid_descriptions_of_a_scheme():
    table = re.escape("""needs 'classes', a table such as {"eyes": ["l_eye", "r_eye"]}.""")
    with pytest.raises(FaceSegKitError, match=table):
        labels.LabelScheme.from_dict({"classes": ["eyes"]})
    with pytest.raises(FaceSegKitError, match="'colours' must be a list such as "):
        labels.LabelScheme.from_dict({"classes": {"a": ["nose"]}, "colours": "red"})


def test_ignored_pixels_are_no_class():
    ids = np.array([labels.PART_IDS["nose"], labels.IGNORED], dtype=np.uint8)
    classes = labels.FIVE_FEATURES.merge(ids)
    assert classes.tolist() == [3, labels.IGNORED]
    assert labels.MIRROR[labels.IGNORED] == labels.IGNORED
    assert labels.FIVE_FEATURES.colour(classes).tolist() == [[0, 0, 255], [128, 128, 128]]


def test_mirrored_classes_swap_left_and_right():
    assert labels.FIVE_FEATURES.mirrored_classes.tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.ALL_PARTS.mirrored_classes.tolist() == labels.MIRROR[:19].tolist()
