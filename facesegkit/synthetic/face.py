"""One drawn face: everything in the order in which it hides what is behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.labels import PARTS
from facesegkit.synthetic import body, hair, worn
from facesegkit.synthetic.background import background
from facesegkit.synthetic.beard import draw_beard
from facesegkit.synthetic.brows import draw_brows
from facesegkit.synthetic.camera import jpeg_quality, photograph, shoulder
from facesegkit.synthetic.canvas import SIDE, Canvas
from facesegkit.synthetic.curves import Floats
from facesegkit.synthetic.eyes import draw_eyes
from facesegkit.synthetic.head import Head, choose_shape, illuminate, skin_texture
from facesegkit.synthetic.mouth import draw_mouth
from facesegkit.synthetic.nose import draw_nose
from facesegkit.synthetic.obstacles import draw_obstacle
from facesegkit.synthetic.scene import Scene
from facesegkit.synthetic.traits import (
    Light,
    Person,
    Pose,
    choose_light,
    choose_person,
    choose_pose,
)


@dataclass(frozen=True)
class SyntheticFace:
    """A photo and where its parts are.

    Attributes:
        photo: RGB uint8 [size, size, 3].
        masks: part name -> bool [size, size], the visible pixels; parts out of view are absent.
        quality: JPEG quality, 1..95, to store the photo with.
    """

    photo: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]
    quality: int


def synthesize_face(seed: int, index: int, size: int = SIDE) -> SyntheticFace:
    """Draw face number `index` of a seed; it depends on these two numbers alone.

    Args:
        seed: 0 or more.
        index: 0 or more.
        size: side of photo and masks in pixels.
    """
    rng = np.random.default_rng([seed, index])
    scene = set_up(rng, choose_person(rng), choose_pose(rng), choose_light(rng))
    draw_scene(scene)
    photo, labels = photograph(rng, scene.canvas.rgb), scene.canvas.labels
    if size != SIDE:
        photo = np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.BOX))
        labels = np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    shown = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(PARTS)))
    masks = {PARTS[part]: labels == part for part in shown if part != 0}
    return SyntheticFace(photo, masks, jpeg_quality(rng))


def set_up(rng: np.random.Generator, person: Person, pose: Pose, light: Light) -> Scene:
    """Turn and light a person's head before some background, for `draw_scene` to draw on.

    Everything that the arguments leave open is up to `rng`.
    """
    head = Head(choose_shape(rng, person), pose)
    illumination, shine = illuminate(head, light, 0.5 + 0.5 * rng.random())
    skin = skin_texture(rng, head, person) * illumination + shine[..., None]
    lit, level = head.show(shoulder(skin), illumination.mean(2))
    return Scene(Canvas(background(rng)), head, person, lit, level, rng)


def draw_scene(scene: Scene) -> None:
    """Draw all that there is, on the scene's canvas, and mark its parts there."""
    hairdo = hair.choose_hairdo(scene.rng, scene.person.feminine, scene.person.age)
    strands = None if scene.person.bald else hair.strands(scene, hairdo)
    if strands is not None:
        hair.draw_back_hair(scene, hairdo, strands)
    body.draw_neck(scene)
    body.draw_necklace(scene)
    body.draw_cloth(scene)
    body.draw_ears(scene)
    _draw_skin(scene, scene.skin)
    draw_nose(scene)
    draw_beard(scene)
    draw_mouth(scene)
    draw_eyes(scene)
    draw_brows(scene)
    worn.draw_glasses(scene)
    if strands is not None:
        hair.draw_hair(scene, hairdo, strands)
    worn.draw_hat(scene)
    draw_obstacle(scene)


def _draw_skin(scene: Scene, lit: Floats) -> None:
    patch = scene.canvas.patch(scene.head.silhouette, soft=0.6)
    if patch is not None:
        scene.canvas.paint(patch, patch.of(lit), part="skin")
