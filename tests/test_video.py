"""`predict_video`: every source, in pieces and whole, smoothed, and the files that cameras and accidents make."""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import av, disc_frames, turn, write_clip
from PIL import Image
from tiny_models import build

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.video import VideoState
from salzoo.errors import ImageError, SalzooWarning, SpecError
from salzoo.video.frames import read_frames
from salzoo.video.seeking import frame_times
from salzoo.video.smoothing import Average, Median, smoothing


@pytest.fixture(scope="module")
def model() -> SaliencyModel:
    return build("salgan").eval()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", disc_frames(9), rate=10)


def maps(frames: object) -> np.ndarray:
    return np.stack([frame.saliency_map.density for frame in frames])


class TestSources:
    def test_a_file_is_its_frames_with_their_times(self, model: SaliencyModel, clip: Path) -> None:
        frames = list(model.predict_video(clip))
        assert [frame.index for frame in frames] == list(range(9))
        np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(9) / 10, atol=1e-6)
        for frame, drawn in zip(frames, disc_frames(9), strict=True):
            assert frame.image.dtype == torch.uint8
            assert np.abs(frame.image.permute(1, 2, 0).numpy().astype(int) - drawn).mean() < 4
            np.testing.assert_array_equal(frame.saliency_map.density, model.predict(frame.image).density)

    def test_folder_iterator_and_pairs_are_the_same_video(self, model: SaliencyModel, tmp_path: Path) -> None:
        drawn = disc_frames(4)
        for index, pixels in enumerate(drawn):
            Image.fromarray(pixels).save(tmp_path / f"{index:03d}.png")
        expected = maps(model.predict_video(iter(drawn), fps=50))
        np.testing.assert_array_equal(maps(model.predict_video(tmp_path)), expected)
        pairs = [(0.5 + index, pixels) for index, pixels in enumerate(drawn)]
        found = list(model.predict_video(pairs))
        np.testing.assert_array_equal(maps(found), expected)
        assert [frame.time_s for frame in found] == [0.5, 1.5, 2.5, 3.5]
        assert [frame.time_s for frame in model.predict_video(tmp_path, fps=50)] == [0.0, 0.02, 0.04, 0.06]

    def test_frames_of_a_folder_are_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        for index in (10, 1, 9, 100, 2):
            Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(tmp_path / f"clip2_{index}.png")
        assert [int(frame.image[0, 0, 0]) for frame in read_frames(tmp_path)] == [1, 2, 9, 10, 100]

    def test_every_third_frame(self, model: SaliencyModel, clip: Path) -> None:
        chosen = list(model.predict_video(clip, every=np.int64(3)))  # type: ignore[arg-type]
        assert [frame.index for frame in chosen] == [0, 3, 6]
        np.testing.assert_array_equal(maps(chosen), maps(model.predict_video(clip))[::3])

    @pytest.mark.parametrize("kind", ["ten_bit", "turned", "variable", "odd", "mpeg4"])
    def test_what_cameras_write(self, kind: str, tmp_path: Path) -> None:
        drawn, file = disc_frames(6), tmp_path / "clip.mp4"
        times = [0.0, 0.1, 0.15, 0.4, 0.45, 1.0]
        if kind == "ten_bit":
            write_clip(file, drawn, codec="libx264", pix_fmt="yuv420p10le")
        elif kind == "turned":
            turn(write_clip(file, drawn))
            drawn = [np.rot90(pixels, -1) for pixels in drawn]
        elif kind == "variable":
            write_clip(file, drawn, times_s=times)
        elif kind == "odd":
            drawn = disc_frames(6, (47, 63))
            write_clip(file, drawn, pix_fmt="yuv444p")
        else:
            file = write_clip(tmp_path / "clip.avi", drawn, codec="mpeg4")
        frames = list(read_frames(file))
        if kind == "variable":
            np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1e-3)
        for frame, pixels in zip(frames, drawn, strict=True):
            assert np.abs(frame.image.permute(1, 2, 0).numpy().astype(int) - pixels).mean() < 6


class TestFaults:
    def test_files_that_are_no_video(self, tmp_path: Path, clip: Path) -> None:
        (tmp_path / "empty.mp4").touch()
        (tmp_path / "text.mp4").write_text("no video" * 99)
        (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-900])  # its table of frames is at the end
        with av.open(str(tmp_path / "sound.mp4"), "w") as out:
            tone = out.add_stream("aac", rate=8000, layout="mono")
            chunk = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            chunk.sample_rate = 8000
            out.mux([*tone.encode(chunk), *tone.encode()])
        (tmp_path / "folder").mkdir()
        for name, said in [
            ("missing.mp4", "no such video file"),
            ("empty.mp4", "is empty"),
            ("text.mp4", "cannot be opened as a video"),
            ("cut.mp4", "holds no video: it may be cut short"),
            ("sound.mp4", "holds no video"),
            ("folder", "holds no image"),
        ]:
            with pytest.raises(ImageError, match=said):
                read_frames(tmp_path / name)

    @pytest.mark.parametrize(
        ("name", "codec", "sound", "pix_fmt"),
        [
            ("a.mkv", "libx264", False, "yuv420p"),
            ("a.mkv", "libx264", True, "yuv420p"),
            ("a.webm", "libvpx", False, "yuv420p"),
            ("a.avi", "mjpeg", False, "yuvj420p"),
            ("a.flv", "libx264", False, "yuv420p"),
        ],
    )
    def test_a_file_that_ends_too_soon_says_so(
        self, tmp_path: Path, name: str, codec: str, sound: bool, pix_fmt: str
    ) -> None:
        """Read from its beginning, and looked through for the times of its frames, as datasets are."""
        noise = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), np.uint8)
        file = write_clip(tmp_path / name, noise, codec=codec, sound=sound, pix_fmt=pix_fmt)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert sum(1 for _ in read_frames(file)) == len(frame_times(file).seconds) == 50
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 + 700])  # not amid a header of MJPEG
        said = r"says that it lasts 2\.\d s, and holds [01]\.\d s: it may be cut short"
        with pytest.warns(SalzooWarning, match=said):
            count = sum(1 for _ in read_frames(file))
        assert 10 < count < 40
        with pytest.warns(SalzooWarning, match=said):
            frame_times(file)

    def test_what_is_no_cut(self, tmp_path: Path, clip: Path) -> None:
        """Sound that goes on for longer, and frames that an edit list of MP4 trims away."""
        long = write_clip(tmp_path / "sound.mkv", disc_frames(10), sound=True, sound_s=4.0)
        trimmed = tmp_path / "trimmed.mp4"
        with av.open(str(clip)) as file, av.open(str(trimmed), "w", options={"avoid_negative_ts": "disabled"}) as out:
            stream = out.add_stream_from_template(file.streams.video[0])
            for packet in file.demux(video=0):
                if packet.dts is not None:
                    packet.pts -= int(0.5 / packet.time_base)
                    packet.dts -= int(0.5 / packet.time_base)
                    packet.stream = stream
                    out.mux(packet)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for path, frames in ((long, 10), (trimmed, 4)):
                assert sum(1 for _ in read_frames(path)) == len(frame_times(path).seconds) == frames

    def test_high_dynamic_range_is_refused(self, tmp_path: Path) -> None:
        file = write_clip(tmp_path / "hdr.mp4", disc_frames(2), pix_fmt="yuv420p10le", transfer=16)
        with pytest.raises(ImageError, match="high dynamic range"):
            list(read_frames(file))

    def test_frames_that_do_not_go_together(self, model: SaliencyModel) -> None:
        small, large = np.zeros((8, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)
        with pytest.raises(ImageError, match="frame 1 has"):
            list(model.predict_video([small, large]))
        with pytest.raises(ImageError, match="not after the one before"):
            list(model.predict_video([(0.0, small), (0.0, small)]))
        with pytest.raises(ImageError, match="from int"):
            model.predict_video(3)  # type: ignore[arg-type]
        for wrong in ({"every": 0}, {"fps": 0.0}, {"batch_size": 0}, {"smooth": "median:4"}, {"smooth": "mean"}):
            with pytest.raises(SpecError):
                model.predict_video([small], **wrong)
        for wrong in ({"every": 1.5}, {"every": True}, {"every": "2"}, {"fps": "25"}, {"batch_size": 1.5}):
            with pytest.raises(SpecError, match=r"=\S+ is not accepted"):
                model.predict_video([small], **wrong)

    def test_without_pyav(self, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(SpecError, match=r"pip install .salzoo\[video\]"):
            read_frames(clip)


class TestPieces:
    @pytest.mark.parametrize("smooth", [None, "average:0.3", "density:0.3", "median:5"])
    def test_pieces_are_the_whole_to_the_bit(self, model: SaliencyModel, smooth: str | None, clip: Path) -> None:
        drawn = disc_frames(9)
        whole = maps(model.predict_video(drawn, smooth=smooth))
        for cut in (1, 4, 8):
            head = list(itertools.islice(model.predict_video(drawn, smooth=smooth), cut))
            tail = list(model.predict_video(drawn[cut:], smooth=smooth, state=head[-1].state))
            np.testing.assert_array_equal(maps(head + tail), whole)
            assert [frame.index for frame in head + tail] == list(range(9))
        head = list(itertools.islice(model.predict_video(clip, smooth=smooth, every=2), 2))
        tail = list(model.predict_video(clip, smooth=smooth, every=2, state=head[-1].state))
        np.testing.assert_array_equal(maps(head + tail), maps(model.predict_video(clip, smooth=smooth, every=2)))

    def test_a_state_of_something_else(self, model: SaliencyModel, clip: Path) -> None:
        drawn, memory = disc_frames(9), salzoo.load("itti.motion")
        state = list(memory.predict_video(drawn[:3], smooth="average:2"))[-1].state
        for other, smooth, said in [
            (model, "average:2", "the state after frame 2 is of itti.motion, and this video of salgan.lite"),
            (memory, None, r"is of Average\(seconds=2.0, of='log_density'\), and this video of no smoothing"),
            (memory, "median:3", r"and this video of Median\(frames=3\)"),
        ]:
            with pytest.raises(SpecError, match=said):
                other.predict_video(drawn[3:], smooth=smooth, state=state)
        with pytest.raises(SpecError, match="is of frames of 48 x 64, and this video of frames of 30 x 40"):
            list(memory.predict_video(disc_frames(2, (30, 40)), smooth="average:2", state=state))
        for junk in ("last.pt", 3, {"index": 3}, VideoState(3, "junk"), VideoState(3, None, (0.0, 1.0))):
            with pytest.raises(SpecError, match=r"is not accepted: the `state` of a frame of predict_video, or None"):
                memory.predict_video(drawn, state=junk)  # type: ignore[arg-type]

    def test_a_state_beyond_the_end(self, model: SaliencyModel, clip: Path, tmp_path: Path) -> None:
        long = list(model.predict_video(disc_frames(20)))
        with pytest.raises(SpecError, match=r"clip.mp4' ends with frame 8, and is to go on after frame 19"):
            list(model.predict_video(clip, state=long[-1].state))
        (tmp_path / "frames").mkdir()
        Image.fromarray(disc_frames(1)[0]).save(tmp_path / "frames/0.png")
        with pytest.raises(SpecError, match=r"frames' ends with frame 0, and is to go on after frame 1"):
            list(model.predict_video(tmp_path / "frames", state=long[1].state))
        assert not list(model.predict_video(clip, state=long[8].state)), "it ends there"
        assert not list(model.predict_video(iter(()), state=long[8].state))

    def test_batches_agree(self, model: SaliencyModel) -> None:
        drawn = disc_frames(5)
        batched = maps(model.predict_video(drawn, batch_size=3))
        np.testing.assert_allclose(batched, maps(model.predict_video(drawn)), rtol=1e-4)

    def test_a_long_video_takes_no_more_memory(self) -> None:
        """What frames leave behind would be seen: image and maps of 200 of them are 230 MB."""
        import resource

        model = salzoo.load("centre_bias", weights=None)
        frame = np.random.default_rng(0).integers(0, 256, (240, 426, 3), np.uint8)
        most = []
        for each in model.predict_video(itertools.repeat(frame, 300), smooth="median:5"):
            if each.index in (100, 299):
                most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        assert most[1] - most[0] < 50


class TestSmoothing:
    LOGS = torch.log_softmax(torch.randn(7, 12, generator=torch.Generator().manual_seed(0)), 1).view(7, 3, 4)

    def run(self, smooth: Average | Median, times: list[float]) -> np.ndarray:
        pairs = zip(times, self.LOGS, strict=True)
        return np.stack([found.numpy() for found, _ in smooth.run(iter(pairs), None)])

    def test_average_forgets_in_seconds(self) -> None:
        times = [0.0, 0.1, 0.2, 0.5, 0.6, 1.0, 1.1]
        found = self.run(Average(0.5), times)
        now = self.LOGS[0].double().numpy()
        for k in range(1, 7):
            fade = np.exp(-(times[k] - times[k - 1]) / 0.5)
            mixed = fade * now + (1 - fade) * self.LOGS[k].double().numpy()
            now = mixed - np.log(np.exp(mixed).sum())
            np.testing.assert_allclose(found[k], now, atol=1e-5)

    def test_average_of_densities(self) -> None:
        found = self.run(Average(0.5, "density"), [0.0, 0.1, 0.2, 0.5, 0.6, 1.0, 1.1])
        fade = np.exp(-0.2)
        expected = fade * self.LOGS[0].exp().numpy() + (1 - fade) * self.LOGS[1].exp().numpy()
        np.testing.assert_allclose(np.exp(found[1]), expected, rtol=1e-5)

    def test_median_is_centred_and_truncated(self) -> None:
        found = self.run(Median(5), list(map(float, range(7))))
        logs = self.LOGS.numpy()
        for k in range(7):
            mixed = np.median(logs[max(0, k - 2) : k + 3], axis=0)
            np.testing.assert_allclose(found[k], mixed - np.log(np.exp(mixed).sum()), atol=1e-5)

    def test_names(self) -> None:
        assert smoothing("average:1.5") == Average(1.5)
        assert smoothing("density") == Average(2.0, "density")
        assert smoothing("median:7") == Median(7)
        assert smoothing("median") == Median(5)
        for wrong in ("median:x", "average:-1", "average:nan", "gauss", "average:", "median:", "density: "):
            with pytest.raises(SpecError, match="not accepted"):
                smoothing(wrong)


def test_a_whole_clip_says_nothing(clip: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(1 for _ in read_frames(clip)) == 9
