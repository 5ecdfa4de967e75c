"""Draws faces and the masks of their parts, from shapes, shading and noise alone.

From what is shared to what is written: `curves` and `canvas` (pencils and paper), `traits` (who),
`head` (the surface in its light), `scene` (all of these together), then what is drawn in it, from
back to front: `background`, `body`, `nose`, `beard`, `mouth`, `eyes`, `brows`, `worn` (glasses,
hats), `hair`, `obstacles`; `camera` (what a photo does to it), `face` (all in order), `files` (a
data set of them).
"""

from facesegkit.synthetic.face import SyntheticFace, synthesize_face
from facesegkit.synthetic.files import GENERATOR_VERSION, synthesize_dataset

__all__ = ["GENERATOR_VERSION", "SyntheticFace", "synthesize_dataset", "synthesize_face"]
