"""What every feature is drawn with: the canvas, the lit head, the person and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesegkit.synthetic.canvas import Canvas, Patch
from facesegkit.synthetic.curves import Floats
from facesegkit.synthetic.head import Head
from facesegkit.synthetic.traits import Person

SIDES = {"r": -1, "l": 1}  # the person's right eye lies in the picture's left half


@dataclass
class Scene:
    """What every feature needs: where to draw, on which head, in which light."""

    canvas: Canvas
    head: Head
    person: Person
    skin: Floats  # the head's lit skin on the canvas, [512, 512, 3]
    light: Floats  # illumination on the canvas, [512, 512], display-value factor
    rng: np.random.Generator

    def lit(self, patch: Patch, colour: object) -> Floats:
        """A colour [3] under the light that falls on the patch, [h, w, 3]."""
        light = patch.of(self.light)[..., None]
        return np.clip(np.asarray(colour, dtype=np.float32) * light, 0, 1)

    def on_head(self, outline: Floats, soft: float = 0.0) -> Patch | None:
        """Coverage of an outline in face coordinates [N, 2], laid on the surface."""
        return self.canvas.patch(self.head.lift(outline), soft=soft)

    def annotate(self, outline: Floats, part: str) -> None:
        """Mark what an outline in face coordinates [N, 2] encloses as a part."""
        self.canvas.mark(self.canvas.patch(self.head.lift(outline)), part)

    @property
    def lean(self) -> float:
        """How much brighter the left of the face is than the right."""
        face = self.light[180:360]
        return float(face[:, 150:256].mean() - face[:, 256:362].mean())

    @property
    def level(self) -> float:
        """Mean light on the face."""
        return float(np.clip(self.light[200:400:2, 170:340:2].mean(), 0.3, 1.2))
