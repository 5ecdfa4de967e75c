"""Faces tracked from one frame of a video to the next."""

import numpy as np
import pytest
from fake_models import GREY, detector_of, upright
from PIL import Image

from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.synthetic import synthesize_face

FACE = Image.fromarray(synthesize_face(seed=9_000, index=2).photo)
EMPTY = Image.new("RGB", (320, 240), GREY)


@pytest.fixture(scope="module")
def segmenter():
    return FaceSegmenter("unet-synthetic")


def frame_with(*centres, side=150):
    """A grey frame with a face at each of these centres."""
    frame = EMPTY.copy()
    for x, y in centres:
        frame.paste(FACE.resize((side, side)), (round(x - side / 2), round(y - side / 2)))
    return frame


def noisy(frame, seed):
    noise = np.random.default_rng(seed).normal(0, 6, (*frame.size[::-1], 3))
    return Image.fromarray((np.asarray(frame) + noise).clip(0, 255).astype(np.uint8))


def flicker(labels):
    """Fraction of the face's pixels whose class changes from one frame to the next."""
    pairs = zip(labels, labels[1:], strict=False)
    return float(np.mean([(a != b).sum() / (a > 0).sum() for a, b in pairs]))


def test_masks_of_a_still_face_are_steadier_than_those_of_single_photos(segmenter):
    frames = [noisy(frame_with((160, 120)), seed) for seed in range(12)]
    tracker = FaceTracker(segmenter)
    tracked = [tracker(frame).labels for frame in frames]
    single = [segmenter(frame).labels for frame in frames]
    assert flicker(tracked) < 0.6 * flicker(single)
    assert np.mean(tracked[-1] != single[-1]) < 0.01


def test_logits_are_an_exponential_moving_average(segmenter):
    frames = [noisy(frame_with((160, 120)), seed) for seed in range(6)]
    trackers = FaceTracker(segmenter, smoothing=0), FaceTracker(segmenter, smoothing=0.75)
    faces = [[tracker(frame).faces[0] for frame in frames] for tracker in trackers]
    assert faces[0][-1].roi == faces[0][-2].roi == faces[1][-1].roi == faces[1][-2].roi
    now, before, average = (face.roi_logits.logits for face in (faces[0][-1], *faces[1][-2:]))
    change, back = (average - now).ravel(), (before - now).ravel()
    weight = float(change @ back / (back @ back))
    assert 0.1 < weight < 0.75  # less than `smoothing`, since noise moves the points a little
    np.testing.assert_allclose(average, now + weight * (before - now), atol=1e-3)


def test_a_face_that_disappears_is_lost_and_one_that_jumps_is_detected_again(segmenter):
    tracker = FaceTracker(segmenter, every=100)
    assert len(tracker(frame_with((90, 120))).faces) == 1
    (jumped,) = tracker(frame_with((230, 110))).faces
    assert jumped.roi.x == pytest.approx(230, abs=5)
    assert tracker(EMPTY).faces == ()


def test_a_second_face_is_detected_at_the_next_detection(segmenter):
    one, two = (frame_with(*at, side=140) for at in ([(80, 120)], [(80, 120), (240, 120)]))
    tracker = FaceTracker(segmenter, every=3)
    numbers = [len(tracker(frame).faces) for frame in (one, two, two, two, two)]
    assert numbers == [1, 1, 1, 2, 2]


def test_new_faces_are_searched_for_only_every_few_frames(segmenter):
    searches = 0

    def counted(pixels):
        nonlocal searches
        searches += 1
        return detector_of(upright(160, 120, 150))(pixels)

    tracker = FaceTracker(FaceSegmenter(segmenter.model, detector=counted), every=5)
    for _ in range(11):
        assert len(tracker(frame_with((160, 120))).faces) == 1
    assert searches == 3


def test_aligned_frames_are_segmented_one_by_one():
    segmenter = FaceSegmenter("unet-synthetic", aligned=True)
    np.testing.assert_array_equal(FaceTracker(segmenter)(FACE).labels, segmenter(FACE).labels)


@pytest.mark.parametrize("wrong", [{"smoothing": 1.0}, {"smoothing": -0.1}, {"every": 0}])
def test_arguments_out_of_range(segmenter, wrong):
    with pytest.raises(ValueError, match="smoothing has to be at least 0 and below 1"):
        FaceTracker(segmenter, **wrong)
