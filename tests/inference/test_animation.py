"""Animated images: read, segmented, and written with their durations."""

import numpy as np
import pytest
from PIL import Image

from facesegkit.cli.main import main
from facesegkit.synthetic import synthesize_face

DURATIONS = [100, 300, 200]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_every_frame_of_an_animation_is_segmented(suffix, tmp_path, capsys):
    face = Image.fromarray(synthesize_face(seed=9_000, index=2).photo).resize((150, 150))
    frames = [Image.new("RGB", (270, 200), (127, 127, 127)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste(face, (20 + 40 * number, 25))
    source = tmp_path / f"three{suffix}"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=DURATIONS, loop=2)
    for output in (tmp_path / "out.gif", tmp_path / "out.webp"):
        command = ["segment", str(source), "--model", "unet-synthetic", "--output", str(output)]
        assert main([*command, "--view", "mask"]) == 0
        assert "3 frames" in capsys.readouterr().out
        with Image.open(output) as result:
            assert result.n_frames == 3 and result.size == (270, 200)
            seen, times = [], []
            for number in range(3):
                result.seek(number)
                result.load()
                times.append(result.info["duration"])
                seen.append(np.asarray(result.convert("RGB"), int))
        assert times == DURATIONS
        columns = [np.nonzero(mask.max(axis=2) > 100)[1].mean() for mask in seen]
        np.testing.assert_allclose(np.diff(columns), 40, atol=3)
        assert main([*command, "--view", "labels"]) == 1
        assert "no view 'labels' of an animation" in capsys.readouterr().err
