"""Remakes the pictures in this folder: `make figures`, or

    python figures/draw_figures.py --model face_segmentation_model.pth

Only drawn faces and a photo in the public domain are shown: astronaut.jpg is Eileen Collins by
NASA, as scikit-image ships it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from facesegkit.image_io import read_photo
from facesegkit.inference.model_zoo import DEFAULT_MODEL
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import overlay, render, save_image
from facesegkit.labels import FIVE_FEATURES, paint_parts
from facesegkit.plots import contact_sheet
from facesegkit.synthetic import synthesize_face

HERE = Path(__file__).parent
ASTRONAUT = HERE / "astronaut.jpg"
HEAD = (46, 0, 406, 360)  # of the astronaut's photo: so that parts are large enough to be seen

SHOWN = (55, 67, 88, 150, 160, 209, 230, 240)  # of the drawn faces with seed 0


def drawn_faces(side: int = 200) -> Image.Image:
    """Two rows: drawn faces, and the same with the classes that their masks make."""
    faces = [synthesize_face(seed=0, index=index) for index in SHOWN]
    pictures = [face.photo for face in faces]
    for face in faces:
        classes = FIVE_FEATURES.merge(paint_parts(face.masks, face.photo.shape[:2]))
        pictures.append(overlay(face.photo, classes, FIVE_FEATURES))
    small = [Image.fromarray(picture).resize((side, side)) for picture in pictures]
    return contact_sheet([np.asarray(picture) for picture in small], columns=len(SHOWN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"name or file (default: {DEFAULT_MODEL})"
    )
    segmenter = FaceSegmenter(parser.parse_args().model)
    head = read_photo(ASTRONAUT).crop(HEAD).resize((768, 768), Image.Resampling.LANCZOS)
    save_image(render(segmenter(head), "panel"), HERE / "astronaut_segmented.png")
    save_image(drawn_faces(), HERE / "drawn_faces.jpg")


if __name__ == "__main__":
    main()
