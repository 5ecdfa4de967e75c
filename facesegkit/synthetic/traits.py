"""Person, pose and light: the random choices that several features share."""

from dataclasses import dataclass

import numpy as np

from facesegkit.data.skin_tone import ita
from facesegkit.synthetic.curves import Floats, choose

# Individual typology angles of human skin, degrees: about the range that Chardon et al. (1991) and
# Del Bino and Bernerd (2013) measured, see `skin_tone`.
ITA_RANGE = (-60.0, 65.0)
# Display colours of the lightest and the darkest skin, just outside that range. Tones in between
# are interpolated geometrically, which is monotonic in ITA: [101, 3] by darkness.
FAIREST, DARKEST = np.array([0.95, 0.785, 0.7]), np.array([0.33, 0.2, 0.15])
TONES = FAIREST * (DARKEST / FAIREST) ** np.linspace(0, 1, 101)[:, None]

WELL_EXPOSED = 0.5  # fraction of photos

HAIR_COLOURS = np.array([
    [0.07, 0.06, 0.06], [0.16, 0.11, 0.09],  # black
    [0.30, 0.20, 0.13], [0.44, 0.30, 0.20],  # brown
    [0.55, 0.38, 0.22], [0.80, 0.64, 0.40], [0.90, 0.82, 0.62],  # dark to light blond
    [0.50, 0.22, 0.10],  # red
    [0.62, 0.60, 0.58], [0.88, 0.87, 0.85],  # grey, white
])  # fmt: skip
HAIR_WEIGHTS = np.array([0.12, 0.16, 0.19, 0.16, 0.11, 0.10, 0.05, 0.05, 0.04, 0.02])

MAX_YAW = 0.7  # radians; beyond 40 degrees the far eye and cheek no longer look right

# Measured on the openings of 700 annotated mouths: probability, mean and standard deviation of the
# opening in pixels. The last two numbers are mean and standard deviation of the smile.
MOUTHS = {
    "shut": (0.41, 0, 0, 0.22, 0.32), "parted": (0.18, 9, 3.3, 0.25, 0.32),
    "smiling": (0.30, 21.5, 3.8, 0.9, 0.2), "laughing": (0.11, 33, 8, 0.8, 0.4),
}  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Pose of the head: angles in radians; scale and shift relative to CelebA-HQ's alignment."""

    yaw: float  # positive: turned to the right of the image
    pitch: float  # positive: turned downwards
    roll: float
    scale: float
    shift: tuple[float, float]  # pixels


@dataclass(frozen=True)
class Light:
    """A directional key light and ambient light, both coloured."""

    direction: Floats  # unit vector towards the lamp: right, down, to the viewer
    key: Floats  # RGB strength
    ambient: Floats  # RGB strength
    exposure: float  # mean display factor on a face with light skin
    contrast: float  # exponent from light to display value; higher is harder
    wrap: float  # how far the key light reaches around the head: 0 a bare bulb .. 0.5 a window
    shine: float  # strength of highlights
    tightness: float  # exponent of highlights
    scatter: int  # radius of subsurface scattering, cells of the head's grid
    bounce: float  # light on the underside of the nose
    cast: float  # darkness of shadows that parts of the face cast


@dataclass(frozen=True)
class Person:
    """What the features of a face have in common."""

    feminine: bool
    age: float  # 0 child .. 1 old
    skin: Floats  # display colour [3]
    darkness: float  # 0 lightest .. 1 darkest skin
    hair: Floats
    brow: Floats
    smile: float  # -0.4 sulking .. 1 beaming
    gap: float  # opening of the mouth, pixels
    make_up: float  # 0 none .. 1 stage
    glasses: str  # "none", "clear" or "dark"
    hat: str  # "none", "cap", "brim", "wool" or "scarf"
    bald: bool

    @property
    def tint(self) -> Floats:
        """The skin's hue at the brightness of light skin [3]: it colours shadows on the skin.

        A shadow on dark skin is not deeper than one on light skin.
        """
        return self.skin * np.float32(0.8 / self.skin.max())


def choose_pose(rng: np.random.Generator) -> Pose:
    """CelebA-HQ's own alignment with wider tails: one face in six is placed more freely."""
    free = 3.0 if rng.random() < 0.16 else 1.0
    return Pose(
        yaw=float(np.clip(rng.normal(0, 0.35), -MAX_YAW, MAX_YAW)),
        pitch=float(np.clip(rng.normal(0.02, 0.11), -0.32, 0.32)),
        roll=rng.normal(0, 0.03) * free,
        scale=float(np.exp(rng.normal(0, 0.035) * free)),
        shift=(rng.normal(0, 4) * free, rng.normal(0, 4) * free),
    )


def choose_light(rng: np.random.Generator) -> Light:
    """A flash on the camera, a lamp or window to the side, or an even sky."""
    kind = choose(rng, flash=0.46, side=0.34, even=0.2)
    if kind == "flash":
        direction = np.array([rng.normal(0, 0.14), rng.normal(-0.22, 0.15), 1.0])
        ambient, wrap = rng.uniform(0.05, 0.3), rng.uniform(0.0, 0.2)
    elif kind == "side":
        direction = np.array([rng.normal(0, 0.6), rng.normal(-0.42, 0.3), rng.uniform(0.4, 1.0)])
        ambient, wrap = rng.uniform(0.06, 0.4), rng.uniform(0.0, 0.4)
    else:
        direction = np.array([rng.normal(0, 0.3), rng.normal(-0.7, 0.3), 0.8])
        ambient, wrap = rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.5)
    direction /= np.linalg.norm(direction)
    warm = rng.normal(0, 0.05)
    cast = np.array([1 + warm, 1.0, 1 - warm])
    if rng.random() < 0.05:  # coloured stage lamps
        cast = rng.uniform(0.55, 1.2, 3)
        cast /= cast.mean()
    return Light(
        direction=direction.astype(np.float32),
        key=((1.15 - ambient) * cast).astype(np.float32),
        ambient=(ambient * (2 - cast)).astype(np.float32),
        exposure=_exposure(rng),
        contrast=rng.uniform(0.42, 1.0),
        wrap=wrap,
        shine=rng.gamma(1.5, 0.12),
        tightness=rng.uniform(6, 40),
        scatter=int(rng.integers(2, 7)),
        bounce=rng.uniform(0.05, 0.8),
        cast=rng.uniform(0.1, 0.75),
    )


def _exposure(rng: np.random.Generator) -> float:
    """As cameras choose it, or anything from underexposed to washed out."""
    if rng.random() < WELL_EXPOSED:
        return float(np.clip(rng.normal(1.12, 0.11), 0.65, 1.4))
    return float(np.exp(rng.uniform(*np.log([0.35, 1.5]))))


def choose_person(rng: np.random.Generator) -> Person:
    """Correlated traits (a beard belongs to a man, make-up mostly to a woman)."""
    feminine, age = rng.random() < 0.6, rng.beta(1.7, 2.2)
    # CelebA-HQ's skin is mostly light; here all tones are equally frequent.
    darkness = float(np.interp(rng.uniform(*ITA_RANGE), ita(TONES)[::-1], np.linspace(1, 0, 101)))
    hair = _hair_colour(rng, age, darkness)
    kind = choose(rng, **{name: row[0] for name, row in MOUTHS.items()})
    _, gap, gap_spread, smile, smile_spread = MOUTHS[kind]
    return Person(
        feminine=feminine,
        age=age,
        skin=_skin_colour(rng, darkness),
        darkness=darkness,
        hair=hair,
        brow=np.clip(hair * rng.uniform(0.45, 0.95) + 0.02, 0, 1).astype(np.float32),
        smile=float(np.clip(rng.normal(smile, smile_spread), -0.4, 1.3)),
        gap=float(np.clip(rng.normal(gap, gap_spread), 3, 70)) if gap else 0.0,
        make_up=rng.beta(1.2, 1.5) if feminine and rng.random() < 0.75 else 0.0,
        glasses=choose(rng, none=0.88, clear=0.085, dark=0.035),
        hat=choose(rng, none=0.9, cap=0.03, brim=0.03, wool=0.02, scarf=0.02),
        bald=not feminine and rng.random() < 0.08 + 0.15 * age,
    )


def _skin_colour(rng: np.random.Generator, darkness: float) -> Floats:
    """A display colour between the lightest and the darkest, shifted to yellow or to red."""
    tone = FAIREST * (DARKEST / FAIREST) ** darkness
    lean = rng.normal(0, 0.03)
    return np.clip(tone * [1 + lean, 1.0, 1 - lean + rng.normal(0, 0.03)], 0, 1).astype(np.float32)


def _hair_colour(rng: np.random.Generator, age: float, darkness: float) -> Floats:
    weights = HAIR_WEIGHTS.copy()
    weights[:3] *= 1 + 3 * darkness
    weights[3:8] *= 1 - 0.6 * darkness
    weights[8:] *= 0.2 + 3 * age
    colour = HAIR_COLOURS[rng.choice(len(weights), p=weights / weights.sum())]
    if rng.random() < 0.02:
        colour = rng.uniform(0.1, 0.9, 3)  # dyed
    colour = colour + rng.uniform(0, 0.4) * (colour.mean() - colour)  # duller in most light
    shade = rng.uniform(0.8, 1.2) * rng.normal(1, 0.04, 3)
    return np.clip(colour * shade, 0, 1).astype(np.float32)
