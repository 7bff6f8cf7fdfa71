"""`salzoo predict` of clips: overlay videos with their sound, maps of frames, killed runs, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from clips import WITH_SOUND, av, disc_frames, write_clip
from PIL import Image

import salzoo
from salzoo._io import scratch_beside
from salzoo.cli import main
from salzoo.errors import SalzooWarning
from salzoo.video.frames import read_frames


def predict(*words: object) -> int:
    return main(["predict", *map(str, words)])


class TestOverlay:
    @pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
    def test_size_rate_frames_and_sound_are_kept(self, codec: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "a.mkv", disc_frames(12), rate=30, codec=codec, sound=WITH_SOUND)
        assert predict(clip, "-m", tiny_checkpoint, "-o", tmp_path / "out", "--every", 4) == 0
        with av.open(str(tmp_path / "out/a_overlay.mp4")) as made:
            assert made.streams.video[0].average_rate == 30
            assert (made.streams.video[0].height, made.streams.video[0].width) == (48, 64)
            heard = {round(frame.time, 2): frame.to_ndarray() for frame in made.decode(audio=0)}
        with av.open(str(clip)) as given:
            sound = {round(frame.time, 2): frame.to_ndarray() for frame in given.decode(audio=0)}
        assert len(sound) >= 3
        for moment, samples in sound.items():  # before these, MP4 lets the encoder's silent first samples be heard
            np.testing.assert_array_equal(heard[moment], samples)
        model, held = salzoo.load(tiny_checkpoint), None
        shown, frames = list(read_frames(tmp_path / "out/a_overlay.mp4")), list(read_frames(clip))
        assert len(shown) == len(frames) == 12
        for painted, frame in zip(shown, frames, strict=True):
            held = model.predict(frame.image) if frame.index % 4 == 0 else held
            expected = np.asarray(held.overlay(frame.image)).astype(float)
            assert np.abs(painted.image.permute(1, 2, 0).numpy() - expected).mean() < 8
            assert painted.time_s == pytest.approx(frame.time_s, abs=2e-3)

    def test_variable_rate_and_odd_size_and_other_sound(self, tmp_path: Path) -> None:
        times = [0.0, 0.1, 0.15, 0.4, 0.45, 1.0]
        clip = write_clip(tmp_path / "odd.mkv", disc_frames(6, (47, 63)), pix_fmt="yuv444p", times_s=times)
        assert predict(clip, "-m", "uniform", "-o", tmp_path) == 0
        shown = list(read_frames(tmp_path / "odd_overlay.mp4"))
        assert shown[0].image.shape == (3, 47, 63)
        np.testing.assert_allclose([frame.time_s for frame in shown], times, atol=2e-3)


class TestMaps:
    def test_formats_several_clips_and_a_broken_one(
        self, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        clips = [write_clip(tmp_path / f"{name}.mp4", disc_frames(5 + k), rate=10) for k, name in enumerate("ab")]
        (tmp_path / "c.mp4").write_bytes(clips[0].read_bytes()[:500])
        words = ["-m", tiny_checkpoint, "-o", tmp_path / "out", "--format", "npy", "--format", "png", "--every", 2]
        assert predict(tmp_path / "*.mp4", *words, "--smooth", "median:3") == 1
        told = capsys.readouterr()
        assert told.out.startswith("2 of 3 clips, 6 frames, 14 files in")
        assert "c.mp4" in told.err
        assert "holds no video" in told.err or "cannot be opened" in told.err
        for clip in clips:
            folder = tmp_path / "out" / clip.stem
            expected = list(salzoo.load(tiny_checkpoint).predict_video(clip, every=2, smooth="median:3"))
            rows = list(csv.DictReader((folder / "frames.csv").read_text().splitlines()))
            assert [int(row["index"]) for row in rows] == [frame.index for frame in expected]
            np.testing.assert_allclose([float(row["time_s"]) for row in rows], [f.time_s for f in expected], atol=1e-5)
            for frame in expected:
                np.testing.assert_array_equal(np.load(folder / f"{frame.index:06d}.npy"), frame.saliency_map.density)
                with Image.open(folder / f"{frame.index:06d}.png") as image:
                    assert image.size == (64, 48)
            assert len(list(folder.iterdir())) == 2 * len(expected) + 1

    @pytest.mark.slow
    def test_a_killed_run_goes_on(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """The process is killed while it writes; the state it noted and the rest of the clip make the same maps."""
        clip = write_clip(tmp_path / "clip.mp4", disc_frames(60))
        words = [
            "predict",
            str(clip),
            "-m",
            str(tiny_checkpoint),
            "--format",
            "npy",
            "--smooth",
            "average:1",
            "--resume",
        ]
        program = f"""
import os
import salzoo.prediction.clips as clips
from salzoo.cli import main
clips._EVERY_S = 0.0
note = clips._Work._note
def note_and_die(self, state):
    note(self, state)
    if state.index == 30:
        os._exit(9)
clips._Work._note = note_and_die
main({[*words, "-o", str(tmp_path / "killed")]!r})
"""
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
        killed = tmp_path / "killed/clip"
        assert len(list(killed.glob("*.npy"))) == 31
        first = (killed / "000010.npy").stat().st_mtime_ns
        time.sleep(0.01)
        assert main([*words, "-o", str(tmp_path / "killed")]) == 0
        assert main([*words, "-o", str(tmp_path / "whole")]) == 0
        names = sorted(path.name for path in (tmp_path / "whole/clip").iterdir())
        assert names == sorted(path.name for path in killed.iterdir())
        assert len(names) == 61
        for name in names:
            assert (killed / name).read_bytes() == (tmp_path / "whole/clip" / name).read_bytes()
        assert (killed / "000010.npy").stat().st_mtime_ns == first
        assert main([*words, "-o", str(tmp_path / "killed")]) == 0  # nothing is left to do
        assert json.loads((tmp_path / "killed/clips.json").read_text())["clip"]["frames"] == 60


def test_what_a_killed_run_was_writing_goes(tmp_path: Path) -> None:
    """Beside the overlay, among the maps and in the output folder; what a living process writes stays."""
    clip = write_clip(tmp_path / "in/clip.mp4", disc_frames(2)) if (tmp_path / "in").mkdir() is None else None
    out = tmp_path / "out"
    (out / "clip").mkdir(parents=True)
    program = "from salzoo._io import scratch_beside; from pathlib import Path; import sys; "
    program += "[scratch_beside(Path(name)).touch() for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", program, str(out / "clips.json"), str(out / "clip/0.npy")], check=True)
    living = scratch_beside(out / "clip_overlay.mp4")
    living.touch()
    assert len(list(out.rglob(".*.part"))) == 3
    assert predict(clip, "-m", "uniform", "-o", out, "--format", "npy") == 0
    assert list(out.rglob(".*.part")) == [living]


def test_a_folder_of_frames_of_a_model_that_remembers(tmp_path: Path) -> None:
    """One warning names the way; other models, and images by name, say nothing."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, pixels in enumerate(disc_frames(2)):
        Image.fromarray(pixels).save(frames / f"{number}.png")
    with pytest.warns(SalzooWarning, match=r"surprise remembers .* take model\.predict_video\(.*frames'\)") as told:
        assert predict(frames, "-m", "surprise", "-o", tmp_path / "out") == 0
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert predict(frames, "-m", "centre_bias", "-o", tmp_path / "out") == 0
        assert predict(frames / "0.png", "-m", "surprise", "-o", tmp_path / "out") == 0


class TestRefusals:
    def test_options_that_do_not_go_together(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        clip = write_clip(tmp_path / "clip.mp4", disc_frames(2))
        photo = tmp_path / "photo.png"
        Image.fromarray(disc_frames(1)[0]).save(photo)
        for words, said in [
            ((clip, photo), "apart"),
            ((clip, "--format", "crop", "--aspect", "1:1"), "--format crop"),
            ((clip, "--json"), "--json does not go with clips"),
            ((clip, "--fast-decode"), "--fast-decode does not go with clips"),
            ((clip, "--smooth", "mean"), "average:2"),
            ((photo, "--every", "2"), "--every is for clips"),
        ]:
            assert predict(*words, "-m", "uniform", "-o", tmp_path / "out") != 0
            assert said in capsys.readouterr().err

    def test_maps_of_another_run_are_not_mixed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        clip = write_clip(tmp_path / "clip.mp4", disc_frames(3))
        words = (clip, "-m", "uniform", "-o", tmp_path / "out", "--format", "png")
        assert predict(*words) == 0
        assert predict(*words) != 0
        assert "add --resume" in capsys.readouterr().err
        assert predict(*words, "--resume", "--every", 2) != 0
        assert "every was 1, is 2" in capsys.readouterr().err
