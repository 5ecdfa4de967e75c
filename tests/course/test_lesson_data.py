"""The data set of the lessons: CelebAMask-HQ if it is there, otherwise synthetic faces."""

from PIL import Image

from facesegkit.course.lesson_data import lesson_cache, lesson_data, portraits


def test_lessons_run_on_synthetic_faces(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").touch()
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    for folder in (tmp_path / "notebooks" / "solutions", tmp_path):
        monkeypatch.chdir(folder)
        data = lesson_data(faces=2)
        assert capsys.readouterr().out == "This lesson runs on 2 synthetic faces.\n"
        assert data.resolve().parent == tmp_path / "data"
        assert len(list(data.glob("CelebA-HQ-img/*.jpg"))) == 2
    assert len(lesson_cache(data).rows()) == 2
    assert [path.name for path in (tmp_path / "data" / "cache").iterdir()] == [data.name]


def test_the_careless_annotator_has_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    careless = lesson_data(faces=1, annotator="careless")
    said = "This lesson runs on 1 synthetic faces with the masks of a careless annotator.\n"
    assert capsys.readouterr().out == said
    assert careless != lesson_data(faces=1)
    assert (careless / "planted_errors.json").is_file()


def test_lessons_run_on_celebamask_hq_if_it_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "CelebAMask-HQ").mkdir(parents=True)
    assert lesson_data().resolve() == tmp_path / "data" / "CelebAMask-HQ"
    assert "do not publish" in capsys.readouterr().out


def test_the_portraits_are_few_small_and_credited():
    folder = next(iter(portraits().values())).parent
    files = {path.name for path in folder.iterdir()}
    assert files == {*(path.name for path in portraits().values()), "CREDITS.md"}
    assert len(files) <= 13 and sum((folder / file).stat().st_size for file in files) < 400_000
    credits = (folder / "CREDITS.md").read_text(encoding="utf-8")
    assert "unitedstates/images" in credits and "public domain" in credits
    for path in portraits().values():
        with Image.open(path) as photo:
            assert photo.size == (225, 275) and not photo.getexif()
