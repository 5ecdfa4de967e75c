"""Synthetic faces and the masks of their parts, made from shapes, shading and noise alone.

Building blocks first: `curves` and `canvas` (shapes and rasterization), `traits` (person, pose and
light), `head` (the lit surface), `scene` (all of these together). Then what is drawn, from back to
front: `background`, `body`, `nose`, `beard`, `mouth`, `eyes`, `brows`, `accessories` (glasses,
hats), `hair`, `occluders`. Finally `camera` (exposure, blur, noise), `face` (all steps in order),
`annotator` (masks as people draw them, with errors), and `files` (a data set on disk).
"""

from facesegkit.synthetic.face import SyntheticFace, synthesize_face
from facesegkit.synthetic.files import GENERATOR_VERSION, synthesize_dataset

__all__ = ["GENERATOR_VERSION", "SyntheticFace", "synthesize_dataset", "synthesize_face"]
