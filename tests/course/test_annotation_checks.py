"""The checks of annotations are those that lesson 1 writes by hand, and say what they found."""

import numpy as np
import pytest
from exercise_cells import SOLUTIONS, read

from facesegkit.course.annotation_checks import (
    check_masks,
    distance_from_usual,
    measure_masks,
    print_found,
)
from facesegkit.labels import PARTS
from facesegkit.synthetic.annotator import PlantedError

[SOLUTION] = [path for path in SOLUTIONS if path.name.startswith("01-")]
LESSON = SOLUTION.parents[1] / SOLUTION.name

PLACES = {  # row and column of each part's centre
    "r_brow": (20, 30), "l_brow": (20, 70), "r_eye": (30, 30), "l_eye": (30, 70),
    "nose": (50, 50), "u_lip": (70, 50), "l_lip": (76, 50),
}  # fmt: skip


def a_face(**moved):
    """Masks of small squares; a part that is moved to None has no file."""
    masks = {}
    for part, place in (PLACES | moved).items():
        if place is not None:
            masks[part] = np.zeros((100, 100), dtype=bool)
            masks[part][place[0] - 2 : place[0] + 3, place[1] - 2 : place[1] + 3] = True
    return masks


def reported(*faces):
    """Names of the checks that report each face, among ten that are right."""
    measured = [measure_masks(masks) for masks in (*faces, *[a_face()] * 10)]
    reports = check_masks(np.stack(measured, axis=1))
    assert not np.any([is_reported[len(faces) :] for is_reported in reports.values()])
    return [{name for name in reports if reports[name][index]} for index in range(len(faces))]


@pytest.mark.parametrize(
    ("moved", "names"),
    [
        ({}, set()),
        ({"l_eye": None}, {"no file"}),
        ({"l_eye": (30, 30), "r_eye": (30, 70)}, {"wrong side", "unusual place"}),
        ({"l_brow": (36, 70)}, {"wrong order"}),
        ({"nose": (50, 85)}, {"unusual place"}),
        (dict.fromkeys(PLACES), {"no file"}),
    ],
)
def test_what_the_checks_report(moved, names):
    assert reported(a_face(**moved)) == [names]


def test_an_empty_file_is_reported():
    face = a_face()
    face["nose"][:] = False
    assert reported(face) == [{"empty file"}]


def test_a_face_that_is_elsewhere_is_not_unusual():
    moved = {part: (row + 15, column - 20) for part, (row, column) in PLACES.items()}
    faces = [a_face(), a_face(), a_face(**moved)]
    numbers = np.stack([measure_masks(masks) for masks in faces], axis=1)
    assert numbers.shape == (3, 3, len(PARTS))
    assert distance_from_usual(numbers).tolist() == [0, 0, 0]


def test_what_is_printed(capsys):
    reports = {
        "one": np.array([True, False, False]),
        "other": np.array([True, False, True]),
    }
    planted = {7: PlantedError(7, "empty", ("nose",)), 8: PlantedError(8, "missing", ("nose",))}
    print_found(reports, [7, 8, 9], planted)
    assert capsys.readouterr().out.splitlines() == [
        "one             1 photos =  0 false alarms + 1 errors: empty",
        "other           2 photos =  1 false alarms + 1 errors: empty",
        "all together    2 photos =  1 false alarms + 1 errors: empty",
        "not found     missing",
    ]
    print_found(reports, [7, 8, 9], {})
    assert "Nobody has listed the errors" in capsys.readouterr().out


def table(notebook):
    """The lines about the lesson's five checks that a notebook printed."""
    outputs = [o for cell in read(notebook)["cells"] for o in cell.get("outputs", [])]
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    names = ("no file ", "empty file ", "wrong side ", "wrong order ", "unusual place ")
    return [line for line in printed.splitlines() if line.startswith(names)]


def test_the_lesson_and_the_package_find_the_same():
    assert len(table(LESSON)) == 5
    assert table(LESSON) == table(SOLUTION)
