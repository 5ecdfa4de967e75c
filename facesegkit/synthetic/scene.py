"""The scene: canvas, lit head, person and random numbers, shared by all that draw on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facesegkit.synthetic.canvas import Canvas, Patch
from facesegkit.synthetic.curves import Floats, ribbon
from facesegkit.synthetic.head import Head
from facesegkit.synthetic.traits import Person

SIDES = {"r": -1, "l": 1}  # the person's right eye is in the left half of the image


@dataclass
class Scene:
    """Everything that is needed to draw one feature of a face."""

    canvas: Canvas
    head: Head
    person: Person
    skin: Floats  # the head's lit skin on the canvas, [512, 512, 3]
    light: Floats  # illumination on the canvas, [512, 512], factor of display values
    rng: np.random.Generator

    def lit(self, patch: Patch, colour: ArrayLike) -> Floats:
        """A colour [3] under the light that falls on the patch, [h, w, 3]."""
        light = patch.of(self.light)[..., None]
        return np.clip(np.asarray(colour, dtype=np.float32) * light, 0, 1)

    def paint_lit(self, patch: Patch, colour: ArrayLike, opacity: float = 1.0) -> None:
        """Blend in a colour [3] under the light that falls on the patch."""
        self.canvas.paint(patch, self.lit(patch, colour), opacity=opacity)

    def on_head(self, polygon: Floats, soft: float = 0.0, *, inside: Patch | None = None) -> Patch:
        """Coverage of a polygon on the head's surface, within another patch if it is given.

        The polygon's vertices are face coordinates [N, 2]; `soft` pixels of its edge are blurred.
        """
        patch = self.canvas.patch(self.head.lift(polygon), soft=soft)
        return patch if inside is None else patch.inside(inside)

    def shade(
        self, polygon: Floats, soft: float, strength: float, tint: ArrayLike = (0, 0, 0)
    ) -> None:
        """Multiply colours within a polygon [N, 2] in face coordinates towards `tint` [3]."""
        self.canvas.shade(self.on_head(polygon, soft), strength, tint)

    def ribbon_on_head(self, line: Floats, width: float, soft: float) -> Patch:
        """Coverage of a tapered line [N, 2] in face coordinates; width and blur in pixels."""
        return self.canvas.patch(ribbon(self.head.lift(line), width), soft=soft)

    def lift_lines(self, lines: Floats) -> Floats:
        """Canvas pixels of many lines in face coordinates, both [N, points per line, 2]."""
        return self.head.lift(lines.reshape(-1, 2)).reshape(lines.shape)

    def annotate(self, polygon: Floats, part: str) -> None:
        """Label the inside of a polygon in face coordinates [N, 2] as a part."""
        self.canvas.mark(self.on_head(polygon), part)

    @property
    def lean(self) -> float:
        """Difference in brightness between the left and the right half of the face."""
        face = self.light[180:360]
        return float(face[:, 150:256].mean() - face[:, 256:362].mean())

    @property
    def level(self) -> float:
        """Mean light on the face."""
        return float(np.clip(self.light[200:400:2, 170:340:2].mean(), 0.3, 1.2))
