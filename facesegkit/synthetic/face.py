"""One synthetic face: everything is drawn from back to front."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.labels import PARTS
from facesegkit.synthetic import accessories, body, hair, traits
from facesegkit.synthetic.background import background
from facesegkit.synthetic.beard import draw_beard
from facesegkit.synthetic.brows import draw_brows
from facesegkit.synthetic.camera import jpeg_quality, photograph, shoulder
from facesegkit.synthetic.canvas import SIDE, Canvas
from facesegkit.synthetic.eyes import draw_eyes
from facesegkit.synthetic.head import Head, Shape, illuminate, skin_texture
from facesegkit.synthetic.mouth import draw_mouth
from facesegkit.synthetic.nose import draw_nose
from facesegkit.synthetic.occluders import draw_occluder
from facesegkit.synthetic.scene import Scene


@dataclass(frozen=True)
class SyntheticFace:
    """A photo and the masks of its parts."""

    photo: NDArray[np.uint8]  # RGB [size, size, 3]
    masks: dict[str, NDArray[np.bool_]]  # visible pixels [size, size] of all parts in view
    quality: int  # JPEG quality, 1..95, to store the photo with


def synthesize_face(seed: int, index: int, size: int = SIDE) -> SyntheticFace:
    """Synthesize face number `index` of a seed; both are 0 or more, and determine the result.

    Photo and masks have a side of `size` pixels.
    """
    rng = np.random.default_rng([seed, index])
    person, pose = traits.choose_person(rng), traits.choose_pose(rng)
    scene = set_up(rng, person, pose, traits.choose_light(rng))
    draw_scene(scene)
    photo, labels = photograph(rng, scene.canvas.rgb), scene.canvas.labels
    if size != SIDE:
        photo = np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.BOX))
        labels = np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    visible = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(PARTS)))
    masks = {PARTS[part]: labels == part for part in visible if part != 0}
    return SyntheticFace(photo, masks, jpeg_quality(rng))


def set_up(
    rng: np.random.Generator, person: traits.Person, pose: traits.Pose, light: traits.Light
) -> Scene:
    """Scene for `draw_scene`: a random background and the lit head of a person."""
    head = Head(Shape(rng, person), pose)
    # A camera makes up for a part of the skin's darkness.
    light = replace(light, exposure=light.exposure * (1 + 0.35 * person.darkness))
    illumination, shine = illuminate(head, light, 0.5 + 0.5 * rng.random())
    skin = skin_texture(rng, head, person) * illumination + shine[..., None]
    lit, level = head.render(shoulder(skin), illumination.mean(2))
    return Scene(Canvas(background(rng)), head, person, lit, level, rng)


def draw_scene(scene: Scene) -> None:
    """Draw all features on the scene's canvas and label their pixels."""
    hairdo = hair.Hairdo(scene.rng, scene.person.feminine, scene.person.age)
    strands = None if scene.person.bald else hair.strands(scene, hairdo)
    if strands is not None:
        hair.draw_back_hair(scene, hairdo, strands)
    body.draw_neck(scene)
    body.draw_necklace(scene)
    body.draw_cloth(scene)
    body.draw_ears(scene)
    skin = scene.canvas.patch(scene.head.silhouette, soft=0.6)
    scene.canvas.paint(skin, skin.of(scene.skin), part="skin")
    draw_nose(scene)
    draw_beard(scene)
    draw_mouth(scene)
    draw_eyes(scene)
    draw_brows(scene)
    accessories.draw_glasses(scene)
    if strands is not None:
        hair.draw_hair(scene, hairdo, strands)
    accessories.draw_hat(scene)
    draw_occluder(scene)
