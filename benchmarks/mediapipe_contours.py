"""Class maps from the contours of MediaPipe's face mesh, for photos of one face each.

    python benchmarks/mediapipe_contours.py PHOTOS contours.npz

Needs MediaPipe 0.10.14, the last release whose wheel has a face mesh, in an environment of its own
(it needs NumPy 1); so this script imports nothing of the project. The polygons of eyes, eyebrows
and lips are filled, the inside of the lips is the mouth, and the nose is the convex hull of its
landmarks. The result has class ids 0 to 5 in the order of `labels.FIVE_FEATURES`, uint8 [256, 256],
for each photo by the name of its file; a photo without a face is left out.
"""

import argparse
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.python.solutions import face_mesh_connections as mesh

SIDE = 256
EYES = (mesh.FACEMESH_LEFT_EYE, mesh.FACEMESH_RIGHT_EYE)
BROWS = (mesh.FACEMESH_LEFT_EYEBROW, mesh.FACEMESH_RIGHT_EYEBROW)
LIP_POINTS = {point for line in mesh.FACEMESH_LIPS for point in line}
INNER = {78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95}
NOSE = sorted({point for line in mesh.FACEMESH_NOSE for point in line})


def rings(lines: frozenset[tuple[int, int]], points: set[int]) -> list[int]:
    """The points of one closed contour in order."""
    neighbours: dict[int, list[int]] = {point: [] for point in points}
    for start, end in lines:
        if start in points and end in points:
            neighbours[start].append(end)
            neighbours[end].append(start)
    ring, before = [min(points)], -1
    while True:
        following = [point for point in neighbours[ring[-1]] if point != before]
        if not following or following[0] == ring[0]:
            return ring
        before = ring[-1]
        ring.append(following[0])


def class_map(landmarks: np.ndarray) -> np.ndarray:
    """Class ids, uint8 [256, 256], from landmarks [478, 2] in fractions of the photo."""
    fine = np.zeros((4 * SIDE, 4 * SIDE), dtype=np.uint8)
    at = np.rint(landmarks * 4 * SIDE).astype(np.int32)

    def fill(polygon: np.ndarray, class_id: int) -> None:
        cv2.fillPoly(fine, [polygon], class_id)

    fill(cv2.convexHull(at[NOSE])[:, 0], 3)
    for lines in BROWS:
        fill(cv2.convexHull(at[sorted({p for line in lines for p in line})])[:, 0], 2)
    for lines in EYES:
        fill(at[rings(lines, {p for line in lines for p in line})], 1)
    fill(at[rings(mesh.FACEMESH_LIPS, LIP_POINTS - INNER)], 5)
    fill(at[rings(mesh.FACEMESH_LIPS, INNER)], 4)
    return fine[2::4, 2::4].copy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("output", type=Path, help="the .npz file")
    options = parser.parse_args()
    found = {}
    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as network:
        for path in sorted(options.photos.glob("*.jpg")):
            faces = network.process(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
            if faces.multi_face_landmarks:
                points = faces.multi_face_landmarks[0].landmark
                found[path.stem] = class_map(np.array([(point.x, point.y) for point in points]))
    np.savez_compressed(options.output, **found)  # type: ignore[arg-type]
    print(f"{len(found)} of {len(list(options.photos.glob('*.jpg')))} photos have a face")


if __name__ == "__main__":
    main()
