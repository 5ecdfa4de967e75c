"""How the models that ship are trained: every step from the data to each set of weights.

`ship_weights.py --only NAME` runs the steps that a model needs, in order. Each step leaves its
result in the work folder and is skipped if it is there; a training that was stopped goes on where
it was. All random numbers have fixed seeds, and lengths are given in epochs.

No research photo touches the free models: their steps use synthetic faces and portraits in the
public domain, which the synthetic pair and MediaPipe's contours label, and so does their detector.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.data.cache import ANNOTATION_SIZE, DatasetCache, build_cache
from facesegkit.data.skin_tone import ita, ita_group, skin_colour
from facesegkit.dataset import TrainingData
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, RelativeCrop
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, IGNORED, PART_IDS, LabelScheme
from facesegkit.models import INPUT_SIZE
from facesegkit.pseudo_label.dataset import pseudo_label
from facesegkit.pseudo_label.ensemble import Teacher
from facesegkit.synthetic import synthesize_dataset
from facesegkit.system.torch_speed import bf16_is_faster
from facesegkit.train import fit
from facesegkit.transforms import ALIGNED_AUGMENTATION, Augmentation

MOST_REPEATS = 3.0  # of a photo in an epoch, so that all groups of skin tones are equally frequent
# MediaPipe's part in the labels of the portraits, by teacher. On every second validation photo, the
# mean of the synthetic pair over six views has a mean F1 of 0.870, with 0.2 / 0.35 / 0.5 of the
# contours 0.878 / 0.880 / 0.857, and the first model of portraits 0.878, with contours 0.881 /
# 0.880 / 0.856. The ITA group with the lowest F1 is best served by the same parts: its F1 is 0.848,
# 0.857 / 0.859 / 0.833, and 0.858, 0.862 / 0.859 / 0.832. The contours alone have 0.810.
CONTOURS_WEIGHT = {"synthetic": 0.35, "portraits": 0.2}
MIN_PROBABILITY = 0.5  # of a pixel's pseudo-label
# The U-Net does not fit its training photos (mean F1 0.907 there, 0.905 on validation photos), so
# the last training sees faces about as upright and as large as alignment by five points leaves
# them. 8 epochs of such geometry lift it from 0.9052 to 0.9069 on validation photos, of
# ALIGNED_AUGMENTATION's to 0.9057; the exposure of a tenth of the photos was changed in both.
NARROW = Augmentation(degrees=12.0, scales=(0.85, 1.2), shift=0.05, exposure=0.15)
# Left, right, top and bottom of the cheeks in an aligned photo, in fractions of its side.
CHEEKS = (0.3, 0.4, 0.58, 0.66), (0.6, 0.7, 0.58, 0.66)


@dataclass(frozen=True)
class Sources:
    """Where the data are; a model needs only its own."""

    work: Path  # folder for results of steps
    data: Path | None = None  # CelebAMask-HQ, research only
    photos: Path | None = None  # everyday photos with faces.json, research only
    portraits: Path | None = None  # portraits in the public domain
    mediapipe: Path | None = None  # Python of an environment with MediaPipe 0.10.14


@dataclass(frozen=True)
class Training:
    """One training run."""

    arch: str
    data: tuple[str, ...]  # names of data sets, see `Workshop.samples`
    epochs: float
    lr: float = TrainConfig.lr
    teacher: str | None = None  # name of the teacher whose soft targets are used, see TEACHERS
    initial: str | None = None  # name of the training whose weights it starts from
    widths: tuple[int, ...] = ()  # other than the architecture's own
    scheme: LabelScheme = FIVE_FEATURES
    crop: RelativeCrop = FACE_CROP
    augmentation: Augmentation = ALIGNED_AUGMENTATION
    seed: int = 0


# As many rows of portraits as of synthetic faces.
HALF_PORTRAITS = ("synthetic", *("portraits",) * 4)
TRAININGS = {
    # Wider than what ships (2.5 M parameters): only its predictions are used.
    "teacher": Training("unet", ("celebamask",), 80, lr=6e-3, widths=(24, 48, 96, 160, 256)),
    "unet-first": Training("unet", ("celebamask", "everyday"), 100, teacher="research"),
    "unet": Training(
        "unet", ("celebamask",), 36, lr=5e-3, teacher="research", initial="unet-first",
        augmentation=NARROW,
    ),
    "separable-first": Training(
        "separable", ("celebamask", "everyday"), 75, teacher="research", augmentation=NARROW
    ),
    "separable": Training(
        "separable", ("celebamask",), 60, lr=5e-3, teacher="research", initial="separable-first",
        augmentation=NARROW,
    ),
    "unet-19-first": Training("unet", ("celebamask",), 120, scheme=ALL_PARTS, crop=FULL_IMAGE),
    "unet-19-second": Training(
        "unet", ("celebamask",), 40, lr=5e-3, teacher="parts", initial="unet-19-first",
        scheme=ALL_PARTS, crop=FULL_IMAGE, augmentation=NARROW,
    ),
    "unet-19": Training(
        "unet", ("celebamask",), 60, lr=6e-3, teacher="parts", initial="unet-19-second",
        scheme=ALL_PARTS, crop=FULL_IMAGE, augmentation=NARROW,
    ),
    "unet-synthetic": Training("unet", ("synthetic",), 80),
    "separable-synthetic": Training("separable", ("synthetic",), 80),
    # First round with portraits, then the second one, with better labels.
    "unet-portraits": Training(
        "unet", ("synthetic", "portraits"), 30, lr=5e-3, teacher="synthetic",
        initial="unet-synthetic",
    ),
    "unet-open": Training(
        "unet", HALF_PORTRAITS, 12, lr=5e-3, teacher="portraits", initial="unet-portraits",
        augmentation=NARROW,
    ),
    "separable-open": Training(
        "separable", HALF_PORTRAITS, 20, lr=5e-3, teacher="portraits",
        initial="separable-synthetic", augmentation=NARROW,
    ),
}  # fmt: skip
# The trainings whose models a teacher is the mean of. The teacher of all parts is the first one of
# its two, corrected by the second one, which sees the five features better, in a closer crop.
TEACHERS = {
    "research": ("teacher",),
    "parts": ("unet-19-first", "teacher"),
    "synthetic": ("unet-synthetic", "separable-synthetic"),
    "portraits": ("unet-portraits",),
}
SYNTHETIC_FACES, SYNTHETIC_SEED = 4000, 1


def split_to_train(name: str) -> str:
    """Photos with pseudo-labels are all for training: nothing is measured on them."""
    return "train" if name in ("celebamask", "synthetic") else "all"


@dataclass(frozen=True)
class Workshop:
    """Runs the steps, each at most once."""

    sources: Sources

    def path(self, name: str) -> Path:
        """Where a step leaves its result."""
        return self.sources.work / name

    def train(self, name: str) -> Path:
        """Train a model of `TRAININGS`, after the steps that it needs; returns its checkpoint."""
        path, training = self.path(f"{name}.pth"), TRAININGS[name]
        if path.exists():
            return path
        initial = load(self.train(training.initial)) if training.initial else None
        several = [self.samples(data, training) for data in training.data]
        train = TrainingData.joined(*several) if len(several) > 1 else several[0]
        scheme, crop = training.scheme, training.crop
        first = self.cache(training.data[0], crop)
        val = TrainingData.from_cache(first, "val", scheme, crop)
        torch.manual_seed(training.seed)
        widths = {"widths": training.widths} if training.widths else {}
        model = (
            initial.model if initial
            else build_model(training.arch, classes=len(scheme.class_names), **widths)
        )  # fmt: skip
        config = TrainConfig(
            budget=Budget(epochs=training.epochs), lr=training.lr, seed=training.seed,
            bf16=bf16_is_faster(), augmentation=training.augmentation,
            resize_schedule=((0.5, 192),) if initial else TrainConfig.resize_schedule,
        )  # fmt: skip
        run = RunOptions(state_file=self.path(f"{name}.training.pth"), resume=True)
        trained, history = fit(model, train, val, config, run)
        about = {"config": asdict(config), "history": history, "data": self.summary(training)}
        save(Checkpoint(training.arch, trained, scheme, about=about, crop=crop), path)
        return path

    def samples(self, name: str, training: Training) -> TrainingData:
        """A data set to train on: all groups of skin tones alike, with soft targets if need be."""
        cache = self.cache(name, training.crop)
        split = split_to_train(name)
        data = TrainingData.from_cache(cache, split, training.scheme, training.crop)
        data = replace(data, rows=evenly_toned(cache, data.rows))
        is_taught = training.teacher and name != "synthetic"  # whose masks are exact
        if not is_taught:
            return data
        soft = self.soft_targets(name, training.teacher)
        taught = f"{name}-{training.teacher}"
        labels = cache.labels if split == "train" else self.pseudo_labels(taught, soft, data)
        return replace(data, soft=soft, labels=labels)

    def summary(self, training: Training) -> str:
        """The data sets of a training, and how often an epoch uses each of their photos."""
        several = []
        for name, times in Counter(training.data).items():
            pairs = self.cache(name, training.crop).summary()
            every = ", all of them to train" if split_to_train(name) == "all" else ""
            often = f", {times} times in each epoch" if times > 1 else ""
            several.append(pairs + every + often)
        return "; ".join(several)

    def cache(self, name: str, crop: RelativeCrop) -> DatasetCache:
        """The data set cache of a data set by name; made before if need be."""
        size = crop.full_size(INPUT_SIZE)
        return build_cache(self.data_set(name), self.path(f"cache-{name}-{size}"), photo_size=size)

    def data_set(self, name: str) -> Path:
        """The folder of a data set by name."""
        if name == "celebamask":
            return given(self.sources.data, "--data, CelebAMask-HQ")
        folder = self.path(name)
        if name == "synthetic":
            synthesize_dataset(folder, SYNTHETIC_FACES, SYNTHETIC_SEED)
        elif name == "everyday":
            listed = given(self.sources.photos, "--photos, everyday photos")
            about = json.loads((listed / "faces.json").read_text(encoding="utf-8"))
            photos = [n for n, of in about.items() if of["split"] == "train" and of["faces"]]
            self.label("everyday", "research", [listed / "photos" / name for name in photos])
        else:
            folder = given(self.sources.portraits, "--portraits, portraits")
            self.label("portraits", "synthetic", sorted(folder.glob("*.jpg")))
        return self.path(name)

    def label(self, name: str, teacher: str, photos: Sequence[Path]) -> None:
        """Make a data set of photos without masks."""
        checkpoints = self.checkpoints(teacher)
        detector = "detector" if teacher == "research" else "detector-open"
        analyzer = FaceSegmenter(checkpoints[0], detector=detector).analyzer
        assert analyzer is not None
        labelled = pseudo_label(photos, Teacher(checkpoints), analyzer, self.path(name), 0.6)
        for _ in tqdm(labelled, total=len(photos), desc=f"label {name}"):
            pass

    def checkpoints(self, teacher: str) -> list[Checkpoint]:
        """The models of a teacher."""
        return [load(self.train(name)) for name in TEACHERS[teacher]]

    def soft_targets(self, name: str, teacher: str | None) -> NDArray[np.uint8]:
        """A teacher's probabilities for the photos of a data set, uint8 [N, C, h, w]."""
        path = self.path(f"soft-{name}-{teacher}.npy")
        if not path.exists():
            predict = self.predictor(name, str(teacher))
            unfinished = path.with_suffix(".unfinished.npy")
            photos, first = len(self.cache(name, FACE_CROP).ids), predict(np.array([0]))
            shape = photos, *first.shape[1:]
            soft = open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
            for start in tqdm(range(0, photos, 16), desc=f"soft targets of {name}"):
                rows = np.arange(start, min(start + 16, photos))
                soft[rows] = predict(rows).mul(255).round()
            soft.flush()
            unfinished.rename(path)
        return np.load(path, mmap_mode="r")

    def predictor(self, name: str, teacher: str) -> Callable[[NDArray[np.int64]], Tensor]:
        """A function of rows of a data set that gives a teacher's probabilities [B, C, h, w]."""
        checkpoints = self.checkpoints(teacher)
        if teacher == "parts":
            parts, features = Teacher(checkpoints[:1]), Teacher(checkpoints[1:])
            wholes, faces = (self.cache(name, of.crop) for of in (parts, features))
            return lambda rows: with_features(
                seen(parts, wholes, rows), seen(features, faces, rows), features.crop
            )
        experts = Teacher(checkpoints)
        cache = self.cache(name, experts.crop)
        if name != "portraits":
            return lambda rows: seen(experts, cache, rows)
        contours = torch.from_numpy(self.contours(cache, experts.crop))

        def with_contours(rows: NDArray[np.int64]) -> Tensor:
            mean = seen(experts, cache, rows)
            both = mean.lerp(contours[rows], CONTOURS_WEIGHT[teacher])
            return torch.where(both.isnan(), mean, both)

        return with_contours

    def pseudo_labels(
        self, name: str, soft: NDArray[np.uint8], data: TrainingData
    ) -> NDArray[np.uint8]:
        """Label maps of the most probable classes, with any part of a class; uint8 [N, 512, 512].

        Where no class has a probability above `MIN_PROBABILITY`, the pixel is ignored.
        """
        path = self.path(f"labels-{name}.npy")
        if not path.exists():
            unfinished = path.with_suffix(".unfinished.npy")
            shape = len(soft), ANNOTATION_SIZE, ANNOTATION_SIZE
            labels = open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
            parts = np.array([0, *(PART_IDS[of[0]] for of in data.scheme.classes.values())])
            for index, probabilities in enumerate(soft):
                cropped = data.crop.of(labels[index][None])[0]
                fine = torch.from_numpy(probabilities)[None].float() / 255
                fine = F.interpolate(fine, cropped.shape, mode="bilinear", align_corners=False)
                top = fine[0].max(dim=0)
                known = top.values.numpy() > MIN_PROBABILITY
                cropped[:] = np.where(known, parts[top.indices.numpy()], IGNORED)
            labels.flush()
            unfinished.rename(path)
        return np.load(path, mmap_mode="r")

    def contours(self, cache: DatasetCache, crop: RelativeCrop) -> NDArray[np.float32]:
        """MediaPipe's class maps of aligned photos as probabilities, float32 [N, C, h, w].

        They are nan for a photo in which it finds no face.
        """
        path, python = self.path("contours.npz"), self.sources.mediapipe
        if not path.exists():
            script = Path(__file__).with_name("mediapipe_contours.py")
            photos = Path(cache.source, "CelebA-HQ-img")
            python = given(python, "--mediapipe, Python with MediaPipe 0.10.14")
            subprocess.run([python, script, photos, path], check=True)
        maps, count = np.load(path), len(FIVE_FEATURES.class_names)
        found = np.full((len(cache.ids), count, *(INPUT_SIZE // 2,) * 2), np.nan, np.float32)
        for row, photo_id in enumerate(cache.ids):
            if str(photo_id) in maps:
                classes = torch.from_numpy(maps[str(photo_id)]).long()
                cropped = crop.of(F.one_hot(classes, count).float()[None]).permute(0, 3, 1, 2)
                found[row] = F.interpolate(
                    cropped, found.shape[2:], mode="bilinear", antialias=True
                )
        return found


def needed(name: str) -> list[str]:
    """Names of all trainings that a model needs, in order, itself last."""
    training = TRAININGS[name]
    before = [*TEACHERS.get(training.teacher or "", ()), *filter(None, [training.initial])]
    return list(dict.fromkeys([step for other in before for step in needed(other)] + [name]))


def given(path: Path | None, option: str) -> Path:
    """A path that a step needs; end the program if it was not given."""
    if path is None:
        raise SystemExit(f"This model needs {option}.")
    return path


def seen(teacher: Teacher, cache: DatasetCache, rows: NDArray[np.int64]) -> Tensor:
    """A teacher's probabilities for the photos in rows of a cache, float32 [B, C, h, w]."""
    return teacher(torch.from_numpy(cache.photos[rows])).probabilities


def with_features(parts: Tensor, features: Tensor, crop: RelativeCrop) -> Tensor:
    """Probabilities of all parts, corrected in the crop by those of the five features.

    A feature's probability is divided between its parts as it was, e.g. between both eyes.

    Args:
        parts: of aligned photos, float32 [B, 19, h, w].
        features: of the crop, float32 [B, 6, h, w].
    """
    to_crop = torch.tensor([[1, 0, 1 - 2 * crop.x], [0, 1, 1 - 2 * crop.y]]) / crop.size
    size = [len(parts), 1, *parts.shape[2:]]
    grid = F.affine_grid(to_crop.expand(len(parts), 2, 3), size, align_corners=False)
    features = F.grid_sample(features, grid, align_corners=False)  # zeros outside the crop
    corrected = parts * (1 - features.sum(dim=1, keepdim=True))
    for feature, probability in enumerate(features.split(1, dim=1)):
        index = np.flatnonzero(FIVE_FEATURES.class_of_part == feature)  # class ids are part ids
        shares = parts[:, index] + 1e-6
        corrected[:, index] += probability * shares / shares.sum(dim=1, keepdim=True)
    return corrected


def evenly_toned(cache: DatasetCache, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows, repeated up to `MOST_REPEATS` times for all ITA groups to be equally frequent."""
    tones = [ita_group(float(ita(tone(cache.photos[row], cache.labels[row])))) for row in rows]
    names, counts = np.unique(tones, return_counts=True)
    repeated = []
    for name, count in zip(names, counts, strict=True):
        factor = 1 if name == "none" else min(MOST_REPEATS, counts.max() / count)
        index = np.arange(count)
        repeats = np.floor((index + 1) * factor) - np.floor(index * factor)
        repeated.append(np.repeat(rows[np.array(tones) == name], repeats.astype(int)))
    return np.sort(np.concatenate(repeated))


def tone(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colour of the skin in an aligned photo, [3]: of the cheeks if the skin is not annotated."""
    if (colour := skin_colour(photo, labels)) is not None:
        return colour
    edges = [np.rint(np.array(cheek) * len(photo)).astype(int) for cheek in CHEEKS]
    cheeks = [photo[top:bottom, left:right].reshape(-1, 3) for left, right, top, bottom in edges]
    return np.median(np.concatenate(cheeks), axis=0) / 255
