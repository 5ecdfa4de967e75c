"""How photos are searched for faces: the scales, and the thresholds that one may want to change."""

from dataclasses import dataclass, replace

from facesegkit.errors import FaceSegKitError

MIN_CONFIDENCE = 0.6


@dataclass(frozen=True)
class SearchConfig:
    """Scales and thresholds, chosen with the figures of benchmarks/real_photos.py.

    Raises a FaceSegKitError if `min_confidence` is not in 0..1, and a ValueError for scales or
    thresholds that make no sense.
    """

    # Longest side of the photo, in pixels, at each level. The detector knows faces of 10 to 330
    # pixels.
    scales: tuple[int, ...] = (320, 640, 1280)
    # A finer level is used, and the photo even enlarged for it, if there may be a face of fewer
    # pixels than `small_face` in the one before, with a score of `small_face_threshold` or more: it
    # is more certain at the finer level, and where there is one there are often smaller ones.
    small_face: float = 50.0
    small_face_threshold: float = 0.2
    # Up to this scale, finer levels are also used while no face has a score above `sure_face`.
    scale_without_faces: int = 640
    sure_face: float = 0.7
    all_scales: bool = False  # use all levels, whatever the ones before have shown

    # A crowd is `crowd` small faces or more at a level, or in a part of a large photo, of which at
    # most three quarters have a score above `sure_face`: faces with near neighbours need more
    # pixels. It is searched at these scales too, enlarged up to four times; () for none.
    crowd: int = 24
    crowd_scales: tuple[int, ...] = (2560, 5120)
    crowd_threshold: float = 0.5  # the `detection_threshold` there
    several: int = 6  # likely faces, of any size, that need a finer level while none is sure

    detection_threshold: float = 0.3  # of the detector's score, to look again at a detection
    max_iou: float = 0.4  # of two boxes that show different faces
    min_confidence: float = MIN_CONFIDENCE  # of a face, see `Face.confidence`

    # The photo is read so large that the smallest face has this fraction of the model's input.
    refined_size: float = 0.8

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            problem = f"The lowest confidence has to be in 0..1, not {self.min_confidence:g}"
            raise FaceSegKitError(f"{problem}; the default is {MIN_CONFIDENCE}.")
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"expected at least one scale, in pixels, not {self.scales}")
        if not all(0 <= t < 1 for t in (self.detection_threshold, self.small_face_threshold)):
            raise ValueError("detection_threshold and small_face_threshold have to be in [0, 1)")

    def side(self, scale: int, longest: int, *, enlarge: bool) -> int:
        """Longest side, in pixels, of a level for a photo whose own is `longest`."""
        finest = max(longest, min(2 * longest, 1280)) if enlarge else longest
        return max(min(scale, finest), 32)

    @staticmethod
    def crowd_side(scale: int, longest: int) -> int:
        """The same for one of `crowd_scales`."""
        return min(scale, 4 * longest)


SEARCHES = {
    "default": SearchConfig(),
    "fast": SearchConfig(scales=(320,), crowd_scales=()),  # faces from a 15th of the side up
    "thorough": SearchConfig(scales=(320, 640, 1280, 2560, 5120, 10240), all_scales=True),
}


def search_config(search: SearchConfig | str, min_confidence: float | None = None) -> SearchConfig:
    """A search by its name, or the one that is given; with another lowest confidence, if given.

    Raises a FaceSegKitError if there is no search of that name, or the confidence is not in 0..1.
    """
    if not isinstance(search, SearchConfig):
        if search not in SEARCHES:
            raise FaceSegKitError(f"There is no search {search!r}; choose {', '.join(SEARCHES)}.")
        search = SEARCHES[search]
    return search if min_confidence is None else replace(search, min_confidence=min_confidence)
