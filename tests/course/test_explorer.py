"""The explorer without a browser: its views, its caches and its messages."""

import base64
import io
import re
import shutil
import time
from datetime import datetime, timezone

import numpy as np
import pytest
from damage import encoded
from PIL import Image

from facesegkit.course import explorer as module
from facesegkit.course.explorer import PREVIEW_SIDE, VIEWS, Exploration, Explorer, ViewOptions
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES
from facesegkit.synthetic import synthesize_face

GREY, RED, BLUE = (128, 128, 128), (255, 0, 0), (0, 0, 255)
REDDISH, BLUISH = (200, 40, 40), (40, 40, 200)  # on the photo, where the classes are red and blue
BOXES = ("boxes.png", "your model")
EYES, NOSE = (20, 30, 80, 60), (120, 90, 180, 150)  # left, top, right, bottom


class ByColour:
    """Predicts a class where the photo has about its colour, and counts its calls."""

    def __init__(self, scheme=FIVE_FEATURES):
        self.scheme, self.calls = scheme, 0

    def __call__(self, photos):
        self.calls += 1
        colours = self.scheme.palette[1:, :, None, None] / np.float32(255)
        closeness = 0.25 - np.square(photos[:, None] - colours).sum(axis=2)
        background = np.zeros_like(closeness[:, :1])
        return 40 * np.concatenate([background, closeness], axis=1).astype(np.float32)

    def segmenter(self):
        return FaceSegmenter(Model(self, self.scheme, input_size=64), aligned=True)


def photo(width=240, height=180, scale=1):
    """Grey, with a rectangle for eyes and one for a nose."""
    picture = Image.new("RGB", (width, height), GREY)
    picture.paste(REDDISH, EYES)
    picture.paste(BLUISH, NOSE)
    return picture.resize((width * scale, height * scale), Image.Resampling.NEAREST)


@pytest.fixture
def exploration():
    made = Exploration()
    made.add_photo("boxes.png", encoded(photo()))
    made.add_model(ByColour().segmenter())
    return made


def shown(exploration, **options):
    return np.asarray(exploration.picture(*BOXES, ViewOptions(**options, boxes=False)))


def test_no_data_set_is_needed_to_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(module.samples())[:2] == ["astronaut, cropped", "astronaut, whole"]
    monkeypatch.setattr(module, "_ASTRONAUT", tmp_path / "astronaut.jpg")
    names = ["synthetic face 1", "synthetic face 2", "synthetic face 3"]
    assert list(module.samples()) == names
    explorer = Explorer()
    assert explorer.photo.options == tuple(names) and explorer.picture.value
    assert list(tmp_path.iterdir()) == []


def test_views_inside_a_part_at_its_contour_and_outside(exploration):
    eye, cheek, across_edge = (45, 50), (100, 50), (slice(25, 36), 50)
    overlay = shown(exploration, view="overlay", opacity=0.25)
    np.testing.assert_allclose(overlay[cheek], GREY)
    np.testing.assert_allclose(overlay[eye], (0.75 * 200 + 0.25 * 255, 30, 30), atol=3)
    assert (overlay[across_edge] == RED).all(axis=1).any()
    mask = shown(exploration, view="mask")
    assert [tuple(mask[pixel]) for pixel in (eye, cheek)] == [RED, (0, 0, 0)]
    confidence = shown(exploration, view="confidence", opacity=1)
    assert confidence[across_edge].max() > confidence[eye].max()


def test_lower_confidence_is_lighter():
    confidence = np.linspace(1, 1 / 6, 100, dtype=np.float32)[None]
    colours = module._uncertainty(confidence, classes=6)[0].astype(float)
    np.testing.assert_array_equal(colours[[0, -1]], [[0, 0, 0], [255, 255, 255]])
    assert (np.diff(colours @ (0.2126, 0.7152, 0.0722)) > 0).all()


def test_opacity(exploration):
    plain = np.asarray(photo())
    for view in ("contours", "confidence"):
        np.testing.assert_array_equal(shown(exploration, view=view, opacity=0), plain)
        assert (shown(exploration, view=view, opacity=0.5) != plain).any()
    lines = (shown(exploration, view="contours", opacity=1) != plain).any(axis=2)
    assert 0.005 < lines.mean() < 0.05


@pytest.mark.parametrize("view", VIEWS)
def test_hidden_parts(exploration, view):
    """The nose is hidden, and the eyes look as before."""
    with_all = shown(exploration, view=view, opacity=0.9)
    without = shown(exploration, view=view, opacity=0.9, hidden=frozenset({"nose"}))
    np.testing.assert_array_equal(without[:75], with_all[:75])
    expected = (0, 0, 0) if view == "mask" else BLUISH
    np.testing.assert_array_equal(without[120, 150], expected)
    assert (without != with_all).any()


def test_legend_has_the_colour_and_fraction_of_each_part(exploration):
    names, colours, fractions = zip(*exploration.segment(*BOXES).legend, strict=True)
    assert names == tuple(FIVE_FEATURES.classes) and list(colours) == list(FIVE_FEATURES.colours)
    expected = {"eyes": 60 * 30, "nose": 60 * 60}  # pixels
    wanted = [expected.get(name, 0) / (240 * 180) for name in names]
    assert fractions == pytest.approx(wanted, rel=0.15)


def test_large_photos_are_shown_small_and_saved_at_their_own_size(exploration, tmp_path):
    name = exploration.add_photo("large.png", photo(scale=6))
    for view in VIEWS:
        picture = exploration.picture(name, "your model", ViewOptions(view))
        assert picture.size == (PREVIEW_SIDE, PREVIEW_SIDE * 3 // 4)
    options = ViewOptions(hidden=frozenset({"nose"}))
    path = exploration.save_mask(name, "your model", tmp_path / "made", options)
    assert path == tmp_path / "made" / "large_your-model_mask.png"
    with Image.open(path) as saved:
        assert saved.size == (1440, 1080)
        assert {colour for _, colour in saved.getcolors()} == {(0, 0, 0), RED}


@pytest.mark.parametrize(
    ("name", "saved"),
    [("a b.jpg", "a-b"), ("../../up.jpg", "up"), ("...", "photo"), ("café: 1/2.jpg", "2")],
)
def test_a_photos_name_cannot_lead_out_of_the_folder(exploration, tmp_path, name, saved):
    name = exploration.add_photo(name, photo().convert("LA"))  # any mode becomes RGB
    path = exploration.save_mask(name, "your model", tmp_path)
    assert path == tmp_path / f"{saved}_your-model_mask.png"
    assert exploration.photo(name).mode == "RGB"


def test_photos_of_the_same_name_get_numbers(exploration):
    names = [exploration.add_photo("photo.jpg", photo(scale=scale)) for scale in (1, 2, 3)]
    assert names == ["photo.jpg", "photo (2).jpg", "photo (3).jpg"]
    sizes = [exploration.segment(name, "your model").segmentation.photo.width for name in names]
    assert sizes == [240, 480, 720]
    assert list(exploration.photos)[:4] == [*reversed(names), "boxes.png"]


@pytest.mark.parametrize(("large", "photos", "results"), [(10**9, 4, 6), (1000, 1, 1)])
def test_many_photos_do_not_fill_the_memory(exploration, monkeypatch, large, photos, results):
    monkeypatch.setattr(module, "_LARGE", large)
    content = encoded(photo())
    for number in range(10):
        exploration.segment(exploration.add_photo(f"{number}.png", content), "your model")
    assert exploration.photo.cache_info().currsize == photos
    assert exploration.segment.cache_info().currsize == results
    exploration.segment("0.png", "your model")  # it can still be chosen


def test_models(tmp_path):
    exploration = Exploration()
    assert list(exploration.models) == list(MODEL_NAMES)
    assert exploration.add_model("unet") == "unet"
    shutil.copy(FOLDER / "separable.onnx", tmp_path / "mine.onnx")
    assert exploration.add_model(tmp_path / "mine.onnx") == "mine.onnx"
    assert exploration.add_model(ByColour().segmenter()) == "your model"
    assert exploration.add_model(ByColour().segmenter().model) == "your model (2)"
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    with pytest.raises(FaceSegKitError, match="damaged.onnx"):
        exploration.add_model(tmp_path / "damaged.onnx")


@pytest.fixture
def network():
    return ByColour()


@pytest.fixture
def explorer(network, tmp_path):
    photo().save(tmp_path / "boxes.png")
    return Explorer([tmp_path / "boxes.png"], network.segmenter(), folder=tmp_path / "saved")


def upload(explorer, name, content):
    """Do what the browser does when a file has been chosen."""
    now = datetime(2024, 1, 1, tzinfo=timezone.utc)
    file = {"name": name, "type": "", "size": len(content), "last_modified": now}
    explorer.upload.value = ({**file, "content": memoryview(content)},)


def picture_of(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)))


def fractions_of(explorer):
    cells = explorer._legend.children
    return {box.description: text.value for box, text in zip(cells[1::3], cells[2::3], strict=True)}


def test_it_opens_on_the_first_photo_as_an_overlay(explorer):
    assert explorer.photo.value == "boxes.png" and explorer.model.value == "your model"
    assert explorer.photo.options[1:] == tuple(module.samples())
    assert set(explorer.model.options) == {*MODEL_NAMES, "your model"}
    expected = explorer.exploration.picture(*BOXES, ViewOptions())
    assert np.abs(picture_of(explorer).astype(int) - np.asarray(expected)).mean() < 2
    assert "ms" in explorer.timing.value and "240 x 180" in explorer.timing.value
    assert explorer.message.value == ""


def test_every_control_changes_the_picture(explorer):
    view, opacity, parts = explorer.view, explorer.opacity, explorer.parts
    for control, value in (
        *((view, "contours"), (view, "overlay"), (opacity, 1.0)),
        *((view, "confidence"), (opacity, 0.3), (view, "mask")),
        *((parts["nose"], False), (parts["eyes"], False), (parts["eyes"], True)),
        *((explorer.boxes, False), (explorer.photo, "synthetic face 1")),
        (explorer.model, "separable"),
    ):
        before = explorer.picture.value
        control.value = value
        assert explorer.picture.value != before, (control, value)


@pytest.fixture
def group(tmp_path):
    """Three synthetic faces side by side, the middle one rotated by 30 degrees."""
    picture = Image.new("RGB", (1000, 360), (120, 130, 140))
    for number in range(3):
        face = Image.fromarray(synthesize_face(seed=9_000, index=number).photo).resize((300, 300))
        if number == 1:
            face = face.rotate(-30, Image.Resampling.BICUBIC)
        picture.paste(face, (20 + 330 * number, 30))
    picture.save(tmp_path / "group.png")
    return tmp_path / "group.png"


def test_one_face_of_a_group(group, tmp_path):
    explorer = Explorer([group], "unet-synthetic", folder=tmp_path / "saved")
    names = [name for name, _ in explorer.face.options]
    assert names == ["all 3 faces", "face 1", "face 2", "face 3"]
    explorer.view.value, explorer.boxes.value = "mask", False
    of_all = float(fractions_of(explorer)["nose"].rstrip("%"))
    of_each = []
    for number in range(3):
        explorer.face.value = number
        of_each.append(float(fractions_of(explorer)["nose"].rstrip("%")))
        marked = picture_of(explorer).sum(axis=(0, 2)).astype(float)
        middle = (marked * np.arange(len(marked))).sum() / marked.sum() / len(marked)
        assert middle == pytest.approx((170 + 330 * number) / 1000, abs=0.03)
    assert sum(of_each) == pytest.approx(of_all, abs=0.03)
    explorer.face.value = 1
    degrees = int(re.search(r"rotated by (\d+)° clockwise", explorer._caption.value)[1])
    upright = Image.fromarray(synthesize_face(seed=9_000, index=1).photo)
    (alone,) = FaceSegmenter("unet-synthetic")(upright).faces  # its head is tilted a little
    assert degrees == pytest.approx(30 + alone.degrees, abs=5)
    explorer.save.click()
    (saved,) = (tmp_path / "saved").iterdir()
    assert saved.name == "group_unet-synthetic_face-2_mask.png"
    columns = np.flatnonzero(np.asarray(Image.open(saved)).any(axis=(0, 2)))
    assert 350 < columns[0] and columns[-1] < 650
    explorer.photo.value = "synthetic face 1"  # the choice belongs to the other photo
    assert [name for name, _ in explorer.face.options] == ["one face"] and explorer.face.disabled
    explorer.photo.value = "group.png"
    assert explorer.face.value is None and not explorer.face.disabled


def test_boxes_enclose_the_faces(group):
    exploration = Explorer([group], "unet-synthetic").exploration
    chosen = "group.png", "unet-synthetic"
    pictures = [exploration.picture(*chosen, ViewOptions(boxes=boxes)) for boxes in (True, False)]
    painted = np.not_equal(*pictures).any(axis=2)
    result = exploration.segment(*chosen)
    assert not painted[result.preview.labels > 0].any()
    assert result.faces == sorted(result.faces, key=lambda face: face.bbox.left)
    for face in result.faces:
        middle = round(0.64 * (face.bbox.left + face.bbox.right) / 2)
        rows = np.flatnonzero(painted[:, middle]) / 0.64
        assert rows[0] < face.bbox.top and rows[-1] > face.bbox.bottom


def test_reset(group, tmp_path):
    explorer = Explorer([group], "unet-synthetic", folder=tmp_path / "saved")
    before = explorer.picture.value
    explorer.face.value, explorer.view.value, explorer.opacity.value = 1, "contours", 0.9
    explorer.parts["nose"].value = explorer.boxes.value = False
    explorer.model.value = "separable"
    upload(explorer, "new.png", encoded(photo()))
    explorer.save.click()
    explorer.reset()
    assert explorer.picture.value == before and explorer.message.value == ""
    assert (explorer.photo.value, explorer.model.value) == ("group.png", "unet-synthetic")
    assert explorer.view_options == ViewOptions()
    assert "new.png" in explorer.photo.options


def test_other_view_options_segment_nothing(explorer, network):
    calls = network.calls
    for view in VIEWS:
        explorer.view.value = view
        assert explorer.opacity.disabled == (view == "mask")  # no photo is visible there
        explorer.opacity.value = 0.9 - explorer.opacity.value
        for box in explorer.parts.values():
            box.value = not box.value
    assert network.calls == calls
    explorer.photo.value = "astronaut, whole"
    explorer.photo.value = "boxes.png"
    assert network.calls == calls + 1


@pytest.mark.alone
def test_changes_take_less_than_100_ms_on_a_photo_of_12_megapixels():
    explorer = Explorer()
    upload(explorer, "large.jpg", encoded(photo(scale=16).resize((4000, 3000)), "JPEG"))
    for control, values in (
        (explorer.view, ["contours", "confidence", "mask", "overlay"]),
        (explorer.opacity, [0.1, 0.6, 0.9]),
        (explorer.parts["nose"], [False, True]),
        (explorer.boxes, [False, True]),
        (explorer.photo, ["astronaut, whole", "large.jpg"]),
        (explorer.model, ["unet", "separable"]),
    ):
        took = []  # in processor seconds, which hardly depend on what else is running
        for value in values * 3:
            start = time.process_time()
            control.value = value
            took.append(time.process_time() - start)
        assert sorted(took)[len(took) // 2] < 0.1, (control, took)
        # A new photo or model is segmented once, and the model may have to be loaded.
        is_new = control in (explorer.photo, explorer.model)
        assert max(took) < (0.5 if is_new else 0.2), (control, took)


def test_a_model_with_other_classes_brings_its_own_legend(explorer):
    explorer.parts["nose"].value = False
    explorer.exploration.models["all"] = ByColour(ALL_PARTS).segmenter()
    explorer.model.options = list(explorer.exploration.models)
    explorer.model.value = "your model"
    assert not explorer.parts["nose"].value  # as it was set
    legend = explorer.exploration.segment(*BOXES).legend
    assert fractions_of(explorer) == {name: f"{fraction:.2%}" for name, _, fraction in legend}
    explorer.model.value = "all"
    assert list(explorer.parts) == list(ALL_PARTS.classes) == list(fractions_of(explorer))
    before = explorer.picture.value
    for box in explorer.parts.values():
        box.value = False
    assert explorer.picture.value != before


def test_the_source_of_a_sample_is_shown(explorer):
    assert "Photo:" not in explorer._caption.value
    for name, source in [("astronaut, whole", "NASA"), ("portrait 10", "Government Publishing")]:
        explorer.photo.value = name
        assert re.search(f"Photo: .*{source}", explorer._caption.value)
    upload(explorer, "portrait of me.png", encoded(photo()))
    assert "Photo:" not in explorer._caption.value


def test_the_licence_of_the_model_is_shown(explorer):
    for name, restricted in [("unet", True), ("unet-synthetic", False), ("your model", False)]:
        explorer.model.value = name
        assert ("non-commercial" in explorer._licence.value) == restricted


def test_an_uploaded_photo_is_shown(explorer):
    before = explorer.picture.value
    upload(explorer, "new.jpg", encoded(photo(scale=2), "JPEG"))
    assert explorer.photo.value == "new.jpg" and explorer.photo.options[1] == "boxes.png"
    assert explorer.picture.value != before and "480 x 360" in explorer.timing.value
    assert explorer.upload.value == ()
    upload(explorer, "new.jpg", encoded(photo(), "JPEG"))
    assert explorer.photo.value == "new (2).jpg" and "240 x 180" in explorer.timing.value


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "empty.jpg is not an image"),
        ("text.png", b"not a photo", "text.png is not an image"),
        ("phone.HEIC", b"not a photo", "HEIC photo, which is not supported"),
        ("cut.png", encoded(photo())[:200], "cut.png is damaged or truncated"),
        ("cut.jpg", encoded(photo(), "JPEG")[:900], "cut.jpg is damaged or truncated"),
        ("<b>x</b>.jpg", b"?", "x&lt;/b&gt;.jpg is not an image"),
    ],
)
def test_a_broken_photo_shows_a_message(explorer, caplog, capfd, name, content, message):
    """And changes nothing."""
    before = explorer.picture.value, explorer.photo.value, explorer.photo.options
    upload(explorer, name, content)
    assert message in explorer.message.value
    assert (explorer.picture.value, explorer.photo.value, explorer.photo.options) == before
    assert not caplog.records and capfd.readouterr() == ("", "")
    explorer.view.value = "contours"
    assert explorer.message.value == "" and explorer.picture.value != before[0]
    upload(explorer, name, encoded(photo()))  # the same name, repaired
    assert explorer.message.value == "" and explorer.photo.value == name


def test_a_model_that_cannot_be_read_shows_a_message(explorer, tmp_path, monkeypatch):
    before = explorer.picture.value
    monkeypatch.setattr("facesegkit.inference.model_zoo.FOLDER", tmp_path)
    explorer.model.value = "unet"
    assert "unet.onnx" in explorer.message.value and explorer.picture.value == before
    monkeypatch.undo()
    explorer.model.value = "separable"
    explorer.model.value = "unet"  # a failure is not cached
    assert "unet.onnx" not in explorer.message.value


def test_a_photo_without_a_face_shows_a_message(explorer):
    upload(explorer, "grey.png", encoded(Image.new("RGB", (50, 40), GREY)))
    assert "No face was detected" in explorer.message.value
    assert "50 x 40" in explorer.timing.value
    explorer.photo.value = "boxes.png"
    assert explorer.message.value == ""


def test_saving_the_mask(explorer, tmp_path):
    explorer.parts["eyes"].value = False
    explorer.save.click()
    path = tmp_path / "saved" / "boxes_your-model_mask.png"
    assert path.name in explorer.message.value
    assert {colour for _, colour in Image.open(path).getcolors()} == {(0, 0, 0), BLUE}
    shutil.rmtree(path.parent)
    path.parent.write_text("a file where the folder should be")
    explorer.save.click()
    assert "Cannot write" in explorer.message.value


def test_the_constructor_raises_what_cannot_be_read(tmp_path):
    with pytest.raises(FaceSegKitError, match="no photo .*missing.jpg"):
        Explorer([tmp_path / "missing.jpg"])
    with pytest.raises(FaceSegKitError, match=r"missing\.onnx"):
        Explorer(model=tmp_path / "missing.onnx")


def test_a_notebook_that_is_only_read_shows_the_picture(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert base64.b64decode(bundle["image/jpeg"]) == explorer.picture.value
    assert bundle["text/plain"] == "Explorer(photo='boxes.png', model='your model')"
