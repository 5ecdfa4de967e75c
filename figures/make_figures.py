"""Generate the images in this folder: `make figures`, or

    python figures/make_figures.py --model face_segmentation_model.pth

They show only synthetic faces and a photo in the public domain: astronaut.jpg is Eileen Collins by
NASA, as distributed with scikit-image.
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
HEAD = (46, 0, 406, 360)  # crop of the astronaut's photo in which the parts are large enough

INDICES = (55, 67, 88, 150, 160, 209, 230, 240)  # of the synthetic faces with seed 0


def synthetic_faces(side: int = 200) -> Image.Image:
    """Two rows: synthetic faces, and the same faces with their classes overlaid."""
    faces = [synthesize_face(seed=0, index=index) for index in INDICES]
    images = [face.photo for face in faces]
    for face in faces:
        classes = FIVE_FEATURES.merge(paint_parts(face.masks, face.photo.shape[:2]))
        images.append(overlay(face.photo, classes, FIVE_FEATURES))
    small = [np.asarray(Image.fromarray(image).resize((side, side))) for image in images]
    return contact_sheet(small, columns=len(INDICES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"name or file (default: {DEFAULT_MODEL})"
    )
    segmenter = FaceSegmenter(parser.parse_args().model)
    head = read_photo(ASTRONAUT).crop(HEAD).resize((768, 768), Image.Resampling.LANCZOS)
    save_image(render(segmenter(head), "panel"), HERE / "astronaut_segmented.png")
    save_image(synthetic_faces(), HERE / "synthetic_faces.jpg")


if __name__ == "__main__":
    main()
