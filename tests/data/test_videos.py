"""Readers of videos, against what the miniature datasets were made of."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_clips
from data.make_clips import FRAMES, OBSERVERS, SIZE, moving_dots
from torch.utils.data import DataLoader

from salzoo.cli import main
from salzoo.data import (
    DHF1K,
    DIEM,
    Augment,
    ClipView,
    ClipWindows,
    Hollywood2,
    UCFSports,
    VideoFolder,
    list_video_datasets,
    load_dataset,
    load_video_dataset,
)
from salzoo.data.videos.gaze import frames_of_events, frames_of_samples
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError
from salzoo.video.container import open_container
from salzoo.video.seeking import frame_times, frames_from


class TestSeeking:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("a.mp4", {}),
            ("a.avi", {"codec": "mpeg4"}),
            ("a.mkv", {"times_s": [0.0, 0.1, 0.15, 0.4, 0.41, 0.9, 1.0, 1.2, 1.21, 1.3, 1.4, 2.0]}),
        ],
    )
    def test_any_frame_is_that_of_reading_from_the_beginning(
        self, tmp_path: Path, name: str, options: dict[str, object]
    ) -> None:
        path = make_clips.write_clip(tmp_path / name, list(moving_dots(0).frames), **options)  # type: ignore[arg-type]
        whole = list(open_container(path))
        times = frame_times(path)
        assert times.size == SIZE
        assert times.seconds == pytest.approx([time_s for _, time_s, _ in whole], abs=1e-6)
        for first in (0, 1, 4, 7, 11):
            found = list(frames_from(path, times, first))
            assert [index for index, *_ in found] == list(range(first, FRAMES))
            assert all((a[2] == b[2]).all() for a, b in zip(found, whole[first:], strict=True))
            assert [a[1] for a in found] == pytest.approx([b[1] for b in whole[first:]], abs=1e-6)

    def test_a_file_that_ends_early_without_a_word(self, tmp_path: Path) -> None:
        path = make_clips.write_clip(tmp_path / "a.mkv", list(moving_dots(0, frames=200).frames))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        said = r"says that it lasts 8\.0 s, and holds 3\.\d s: it may be cut short"
        with pytest.warns(UserWarning, match=said):
            times = frame_times(path)
        with pytest.warns(UserWarning, match=said):
            assert sum(1 for _ in frames_from(path, times, 0)) == len(times.seconds)


class TestDHF1K:
    def test_frames_points_and_maps_of_all_three_layouts(self, tmp_path: Path) -> None:
        make_clips.dhf1k(tmp_path)
        train = DHF1K(tmp_path)
        assert train.names == ["0001", "0002", "0003"]
        for index, seed in enumerate((1, 2, 3)):
            clip = moving_dots(seed)
            item = train.window(index, 2, 4)
            exact = index > 0
            frames = torch.from_numpy(clip.frames[2:6]).permute(0, 3, 1, 2)
            assert (item["image"].int() - frames.int()).abs().float().mean() < (0.01 if exact else 6)
            assert item["fixations"].sum((1, 2)).tolist() == [
                len(set(map(tuple, np.rint(places).tolist()))) for places in clip.gaze[2:6]
            ]
            at = np.rint(clip.gaze[2]).astype(int)
            assert all(item["fixations"][0, y, x] == 1 for x, y in at)
            assert item["density"].sum((1, 2)).tolist() == pytest.approx([1.0] * 4, abs=1e-5)
            peak = divmod(int(item["density"][0].argmax()), SIZE[1])
            assert np.hypot(peak[1] - clip.gaze[2, :, 0].mean(), peak[0] - clip.gaze[2, :, 1].mean()) < 3
            assert item["time_s"].tolist() == pytest.approx(np.arange(2, 6) / 30, abs=1e-3)
        assert train.sibling("val").names == ["0601"]
        assert not train.gaze(0).observers

    def test_a_blur_takes_the_place_of_maps(self, tmp_path: Path) -> None:
        make_clips.dhf1k(tmp_path)
        given, blurred = DHF1K(tmp_path, "val"), DHF1K(tmp_path, "val", sigma_px=1.0)
        assert given.has_maps
        assert not blurred.has_maps
        assert blurred.density(0, 0).max() > 2 * given.density(0, 0).max()
        assert DHF1K(tmp_path).sigma((360, 640)) == 12.74

    def test_the_hidden_split_says_so(self, tmp_path: Path) -> None:
        make_clips.dhf1k(tmp_path)
        hidden = DHF1K(tmp_path, "test")
        assert len(hidden.clip(0)) == FRAMES
        assert repr(hidden).endswith("1 clips, fixations not public>")
        with pytest.raises(DataError, match=r"split 'test' are not public"):
            hidden.fixations(0, 0)

    def test_frames_and_annotations_that_do_not_go_together(self, tmp_path: Path) -> None:
        folder = make_clips.dhf1k(tmp_path)
        (folder / "annotation/0001/fixation/0012.png").unlink()
        (folder / "annotation/0001/maps/0012.png").unlink()
        assert len(DHF1K(tmp_path).clip(0)) == 11  # decoders differ by a frame
        for number in range(1, 6):
            (folder / f"annotation/0003/fixation/{number:04d}.png").unlink()
        with pytest.raises(DataError, match=r"has 12 frames, and .*0003 is of 7: the two do not go together"):
            DHF1K(tmp_path).clip(2)

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match=r"no folder .*nowhere.*CVPR 2018"):
            DHF1K(tmp_path / "nowhere")
        with pytest.raises(DatasetNotFoundError, match=r"dhf1k: no folder video in"):
            DHF1K(tmp_path)
        folder = make_clips.dhf1k(tmp_path)
        (folder / "video/001.AVI").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"no frames of clip 0001: neither video/001\.AVI"):
            DHF1K(tmp_path).clip(0)
        with pytest.raises(SpecError, match="unknown split 'valid'"):
            DHF1K(tmp_path, "valid")  # type: ignore[arg-type]


class TestShots:
    def test_hollywood2_goes_on_counting_over_shots(self, tmp_path: Path) -> None:
        make_clips.hollywood2(tmp_path)
        everything = Hollywood2(tmp_path, "all")
        assert len(everything) == 4
        second = everything.names.index("training/actioncliptrain00001_2")
        item = everything.window(second, 0, 7)
        assert (item["image"] == torch.from_numpy(moving_dots(1, frames=7).frames).permute(0, 3, 1, 2)).all()
        assert item["fixations"].sum() > 7
        assert Hollywood2(tmp_path, "test").names == ["testing/actioncliptest00001_1"]
        train = Hollywood2(tmp_path).names
        assert all(name.startswith("training/") for name in train)

    def test_shots_of_one_film_are_in_one_split(self, tmp_path: Path) -> None:
        for number in range(40):
            for shot in (1, 2, 3):
                (tmp_path / f"hollywood2/training/actioncliptrain{number:05d}_{shot}/images").mkdir(parents=True)
        train, val = (
            {n.rpartition("_")[0] for n in Hollywood2(tmp_path, s).names}  # type: ignore[arg-type]
            for s in ("train", "val")
        )
        assert not train & val
        assert 1 <= len(val) <= 9
        assert len(train | val) == 40

    def test_ucf_sports(self, tmp_path: Path) -> None:
        make_clips.ucf_sports(tmp_path)
        assert UCFSports(tmp_path, "test").names == ["testing/Walk-Front-003"]
        assert UCFSports(tmp_path, "test").sigma((480, 720)) == 20

    def test_other_numbers_are_refused(self, tmp_path: Path) -> None:
        folder = make_clips.ucf_sports(tmp_path) / "testing/Walk-Front-003/fixation"
        for path in sorted(folder.iterdir(), reverse=True):
            path.rename(folder / path.name.replace("_00", "_01"))
        with pytest.raises(DataError, match=r"the numbers of frames and points differ"):
            UCFSports(tmp_path, "test").clip(0)

    def test_splits_json(self, tmp_path: Path) -> None:
        folder = make_clips.ucf_sports(tmp_path)
        lists = {"train": ["training/Kicking-002"], "val": ["training/Diving-Side-001"], "test": []}
        (folder / "splits.json").write_text(json.dumps(lists))
        assert UCFSports(tmp_path).names == ["training/Kicking-002"]
        (folder / "splits.json").write_text(json.dumps({"train": ["training/Other"]}))
        with pytest.raises(DatasetNotFoundError, match="are not here: training/Other"):
            UCFSports(tmp_path)


class TestDIEM:
    def test_both_eyes_count_once_in_pixels_of_the_clip(self, tmp_path: Path) -> None:
        make_clips.diem(tmp_path)
        everything = DIEM(tmp_path, "all")
        gaze = everything.gaze(2)
        places = moving_dots(2).gaze
        assert gaze.observers == ("diem1s00", "diem1s01", "diem1s02", "diem1s03")
        found = gaze[0]
        assert np.stack([found.x, found.y], 1) == pytest.approx(places[0])
        assert gaze[3].x[1] == pytest.approx(places[3, 1, 0] + 0.5), "the eye that is left"
        assert len(gaze[5]) == 0, "all are in a saccade"
        assert gaze.dropped == {"after the clip's end": OBSERVERS}
        left = DIEM(tmp_path, "all", eyes="left").gaze(2)
        assert left[0].x == pytest.approx(places[0, :, 0] - 0.5)
        assert len(left[3]) == OBSERVERS - 1

    def test_splits_are_drawn_by_name(self, tmp_path: Path) -> None:
        make_clips.diem(tmp_path)
        parts = [DIEM(tmp_path, "train").names, DIEM(tmp_path, "test").names]
        assert not set(parts[0]) & set(parts[1])

    def test_damaged_files(self, tmp_path: Path) -> None:
        folder = make_clips.diem(tmp_path)
        path = next(iter((folder / "clip_a_64x36/event_data").iterdir()))
        for text, said in (
            ("1\t2\t3\n", "has 3 columns; DIEM's have 9"),
            ("1\t2\t3\t4\t7\t2\t3\t4\t1\n", r"events are -1, 0, 1 and 2, but there is 7"),
            ("1\ta\n2\tb\n", "is no table of numbers"),
        ):
            path.write_text(text)
            with pytest.raises(DataError, match=said):
                DIEM(tmp_path, "all").gaze(0)


class TestVideoFolder:
    @pytest.mark.parametrize(
        ("unit", "header", "read"),
        [
            (1, "video,subject,time,x,y", "s"),
            (1000, "video,subject,time,x,y", "ms"),
            (1e6, "clip,observer,t,x,y", "us"),
            (1000, "Movie,Participant,time_ms,X,Y", "ms"),
            (25, "video,subject,frame,x,y", "frames"),
        ],
    )
    def test_units_of_time_and_names_of_columns(self, tmp_path: Path, unit: float, header: str, read: str) -> None:
        root = make_clips.videos(tmp_path, clips=4, unit=unit, header=header)
        if "X" in header:
            (root / "study.json").write_text('{"columns": {"x": "X", "y": "Y"}}')
        study = VideoFolder(root, "all")
        assert study.study.unit == read
        assert study.gaze(0).observers == ("s0", "s1", "s2", "s3")
        for frame in (0, 5, 11):
            found = study.gaze(1)[frame]
            assert np.stack([found.x, found.y], 1) == pytest.approx(moving_dots(1).gaze[frame], abs=1e-3)

    def test_folders_of_frames_need_a_rate(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=3, as_folders=True)
        study = VideoFolder(root, "all")
        assert (study.window(0, 3, 2)["image"][0].permute(1, 2, 0).numpy() == moving_dots(0).frames[3]).all()
        (root / "study.json").unlink()
        with pytest.raises(SpecError, match=r"clip0 is a folder of frames, and nothing says how many.*\"fps\": 25"):
            VideoFolder(root, "all")

    def test_a_wrong_rate_is_doubted(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=3, as_folders=True)
        (root / "study.json").write_text('{"fps": 12.5}')
        with pytest.warns(UserWarning, match=r"gaze ends at 48% of a clip's length"):
            VideoFolder(root, "all")

    def test_fixations_that_last_are_in_all_frames_shown_meanwhile(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=2)
        (root / "gaze.csv").write_text(
            "video,subject,time,duration,x,y\n"
            "clip0,a,0,200,10.5,10\nclip0,a,210,230,30.5,12\nclip0,b,100,10,20.5,20\nclip1,a,0,460,40.5,30\n"
        )
        gaze = VideoFolder(root, "all").gaze(0)
        seen = [sorted(gaze[frame].x.tolist()) for frame in range(FRAMES)]
        assert seen[:2] == [[10.5], [10.5]]
        assert seen[2] == [10.5, 20.5], "too short for the next frame, so it counts where it began"
        assert seen[4:6] == [[10.5], []]
        assert seen[6:] == [[30.5]] * 5 + [[]]

    def test_a_table_a_clip(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=3)
        lines = (root / "gaze.csv").read_text().splitlines()[1:]
        (root / "gaze.csv").unlink()
        (root / "gaze").mkdir()
        for name in ("clip0", "clip1", "clip2"):
            own = [line.partition(",")[2] for line in lines if line.startswith(name)]
            (root / "gaze" / f"{name}.csv").write_text("\n".join(["subject,time,x,y", *own]))
        study = VideoFolder(root, "all")
        assert study.names == ["clip0", "clip1", "clip2"]
        assert len(study.gaze(2)[4]) == OBSERVERS
        (root / "gaze/clip2.csv").rename(root / "gaze/clip7.csv")
        with pytest.raises(DataError, match=r"clip7\.csv has no column that names the clip, and is called like none"):
            VideoFolder(root, "all")

    @pytest.mark.parametrize(
        ("old", "new", "error"),
        [
            ("clip3,", "clip33,", r"rows for 1 clips that are not there, the first is 'clip33'; did you mean 'clip3'"),
            ("time", "when", r"no column of times, only video, subject, when, x, y; call it time, t, timestamp"),
            ("video,", "what,", r"no column that names the clip; call it video, clip"),
            (",x,", ",across,", r"no column 'x', only"),
        ],
    )
    def test_tables_that_cannot_be_read(self, tmp_path: Path, old: str, new: str, error: str) -> None:
        root = make_clips.videos(tmp_path, clips=4)
        path = root / "gaze.csv"
        path.write_text(path.read_text().replace(old, new))
        with pytest.raises(DataError, match=error):
            VideoFolder(root, "all")

    def test_places_in_other_units_are_refused(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=6)
        head, *lines = (root / "gaze.csv").read_text().splitlines()
        cells = [line.split(",") for line in lines]
        shares = [",".join([*c[:3], f"{float(c[3]) / 64:.4f}", f"{float(c[4]) / 36:.4f}"]) for c in cells]
        (root / "gaze.csv").write_text("\n".join([head, *shares]))
        with pytest.raises(DataError, match=r'say "units": "fractions"'):
            VideoFolder(root, "all")
        found = VideoFolder(root, "all", units="fractions").gaze(0)[0]
        assert found.x == pytest.approx(moving_dots(0).gaze[0, :, 0] - 0.5, abs=0.02)

    def test_gaze_off_the_middle_is_doubted_and_taken(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=6)
        head, *lines = (root / "gaze.csv").read_text().splitlines()
        cells = [line.split(",") for line in lines]
        upper = [",".join([*c[:3], f"{20 + float(c[3]) / 3:.3f}", f"{2 + float(c[4]) / 9:.3f}"]) for c in cells]
        (root / "gaze.csv").write_text("\n".join([head, *upper]))
        with pytest.warns(UserWarning, match=r"the mean fixation is \d+% from the left and 1\d% from the top"):
            study = VideoFolder(root, "all")
        assert len(study.gaze(0)[0]) == OBSERVERS

    def test_times_that_no_unit_explains(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4, unit=0.001)
        with pytest.raises(DataError, match=r'in no unit \(s, ms, us, ns\) do the two go together. Say "time_unit"'):
            VideoFolder(root, "all")
        with pytest.raises(DataError, match=r"in s, 100% of the times lie beyond their clips"):
            VideoFolder(make_clips.videos(tmp_path / "b", clips=4, unit=30), "all", time_unit="s")

    @pytest.mark.parametrize(("header", "unit", "right"), [("time_ms", 1.0, "s"), ("time_us", 1000.0, "ms")])
    def test_times_in_another_unit_than_the_header_says(
        self, tmp_path: Path, header: str, unit: float, right: str
    ) -> None:
        root = make_clips.videos(tmp_path, clips=4, unit=unit, header=f"video,subject,{header},x,y")
        said = rf'times are in {header[-2:]}, but .* in {right} it ends at 96%: say "time_unit": "{right}" in study'
        with pytest.raises(DataError, match=said):
            VideoFolder(root, "all")
        study = VideoFolder(root, "all", time_unit=right)
        assert study.gaze(1)[5].x == pytest.approx(moving_dots(1).gaze[5, :, 0], abs=1e-3)
        with pytest.warns(UserWarning, match="gaze ends at 0% of a clip's length"):
            VideoFolder(root, "all", time_unit=header[-2:])

    def test_gaze_that_ends_early_is_doubted_not_refused(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4, unit=500, header="video,subject,time_ms,x,y")
        with pytest.warns(UserWarning, match="gaze ends at 48% of a clip's length"):
            VideoFolder(root, "all")

    def test_a_clock_that_began_before_the_clip(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4, unit=1000)
        path = root / "gaze.csv"
        cells = [line.split(",") for line in path.read_text().splitlines()]
        later = [",".join([*c[:2], str(float(c[2]) + 70_000), *c[3:]]) for c in cells[1:]]
        path.write_text("\n".join([",".join(cells[0]), *later]))
        with pytest.raises(DataError, match=r"the last times of clips are 7.* clips last 0.48 s: in no unit"):
            VideoFolder(root, "all")
        study = VideoFolder(root, "all", time_offset_s=70)
        assert study.study.unit == "ms"
        assert study.gaze(1)[5].x == pytest.approx(moving_dots(1).gaze[5, :, 0], abs=1e-3)

    def test_eyes_in_columns_of_their_own(self, tmp_path: Path) -> None:
        header = "video,subject,time,left_x,left_y"
        root = make_clips.videos(tmp_path, clips=4, header=header)
        with pytest.raises(
            DataError, match=r"has left_x and left_y, and no x and y: say which eye counts, as \"columns"
        ):
            VideoFolder(root, "all")
        assert len(VideoFolder(root, "all", columns={"x": "left_x", "y": "left_y"}).gaze(0)[0]) == OBSERVERS

    def test_without_a_column_of_people_nobody_is_told_apart(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4)
        path = root / "gaze.csv"
        cells = [line.split(",") for line in path.read_text().splitlines()]
        path.write_text("\n".join(",".join([c[0], *c[2:]]) for c in cells))
        study = VideoFolder(root, "all")
        assert study.gaze(0).observers == ()
        assert len(study.gaze(0)[0]) == 1, "samples of one unknown person"

    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4)
        with (root / "gaze.csv").open("a") as file:
            file.write("clip0,s0,0.1,nan,3\nclip0,s0,,3,3\nclip0,s0,0.6,3,3\nclip0,s0,-0.2,3,3\n")
            file.write("clip0,s0,0.061,20,20\nclip0,s1,0.06,-40,3\nfixation,s1,0.06,4,3\n")
        study = VideoFolder(root, "all")
        assert study.study.dropped == {
            "no coordinates (NaN)": 1,
            "no time (NaN)": 1,
            "after the clip's end": 1,
            "before the clip's start": 1,
            "outside the frame": 1,
            "on fixation": 1,
            "further samples of an observer in a frame": 2,
        }

    def test_both_eyes_as_rows_are_refused(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4)
        head, *lines = (root / "gaze.csv").read_text().splitlines()
        both = [f"{line},{eye}" for line in lines for eye in ("left", "right")]
        (root / "gaze.csv").write_text("\n".join([f"{head},eye", *both]))
        with pytest.raises(DataError, match=r"'eye' tells of both eyes"):
            VideoFolder(root, "all")
        assert len(VideoFolder(root, "all", keep={"eye": ["left"]}).gaze(0)[2]) == OBSERVERS

    def test_broken_clips_are_named(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=4)
        path = root / "videos/clip2.mp4"
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(ImageError, match=r"clip2\.mp4' cannot be opened as a video"):
            VideoFolder(root, "all")

    def test_the_folder_or_its_parts_are_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match="there is no folder"):
            VideoFolder(tmp_path / "nowhere")
        root = make_clips.videos(tmp_path / "a", clips=2)
        with pytest.raises(DatasetNotFoundError, match=r"split 'test' has none of the 2 clips"):
            VideoFolder(root, "test")
        (root / "gaze.csv").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"no gaze in .*a table \(\.csv"):
            VideoFolder(root)

    def test_a_study_that_changes_is_read_again(self, tmp_path: Path) -> None:
        root = make_clips.videos(tmp_path, clips=3)
        before = len(VideoFolder(root, "all").gaze(0)[0])
        kept = [line for line in (root / "gaze.csv").read_text().splitlines() if ",s3," not in line]
        (root / "gaze.csv").write_text("\n".join(kept))
        assert (before, len(VideoFolder(root, "all").gaze(0)[0])) == (OBSERVERS, OBSERVERS - 1)


class TestWindows:
    def test_a_loader_batches_them_in_workers(self, tmp_path: Path) -> None:
        study = VideoFolder(make_clips.videos(tmp_path, clips=4), "all")
        windows = ClipWindows(study, length=5)
        assert len(windows) == 4 * 3
        loader = DataLoader(windows, batch_size=3, num_workers=1)
        batches = list(loader)
        assert batches[0]["image"].shape == (3, 5, 3, *SIZE)
        assert batches[0]["fixations"].shape == (3, 5, *SIZE)
        assert batches[0]["name"] == ["clip0"] * 3
        assert batches[0]["first"].tolist() == [0, 5, 10]
        last = batches[0]["image"][2]
        assert (last[1:] == last[1]).all(), "the last frame is repeated"
        assert (batches[0]["fixations"][2].sum((1, 2)) == OBSERVERS).all()

    def test_views_have_one_size_and_are_the_same_again(self, tmp_path: Path) -> None:
        study = VideoFolder(make_clips.videos(tmp_path, clips=4), "all")
        view = ClipView(study, (24, 32), length=4, windows=2, augment=Augment(), seed=3)
        again = pickle.loads(pickle.dumps(ClipView(study, (24, 32), length=4, windows=2, augment=Augment(), seed=3)))
        for index in range(len(view)):
            item, other = view[index], again[index]
            assert item["image"].shape == (4, 3, 24, 32)
            assert (item["image"] == other["image"]).all()
            assert item["fixations"].sum((1, 2)).tolist() == [OBSERVERS] * 4
            assert item["density"].sum((1, 2)).tolist() == pytest.approx([1.0] * 4, abs=1e-4)
            counts, density = item["fixations"].float(), item["density"]
            assert float((counts * density).sum()) > 5 * 4 * OBSERVERS / (24 * 32), "both are flipped alike"
            bright = item["image"].float().mean(1)
            assert float((counts * bright).sum() / counts.sum()) > 150, "people look at the dot"
        view.set_epoch(1)
        assert {view[i]["first"] for i in range(8)} != {again[i]["first"] for i in range(8)}

    def test_a_window_out_of_range(self, tmp_path: Path) -> None:
        study = VideoFolder(make_clips.videos(tmp_path, clips=3), "all")
        with pytest.raises(SpecError, match="clip0: frames from 12, 2 of them"):
            study.window(0, 12, 2)

    def test_memory_does_not_grow_with_the_clip(self, tmp_path: Path) -> None:
        peaks = []
        for frames in (40, 400):
            root = make_clips.videos(tmp_path / str(frames), clips=1, frames=frames)
            clip = VideoFolder(root, "all").clip(0)
            tracemalloc.start()
            assert sum(1 for _ in clip.frames()) == frames
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < peaks[0] + 200_000


def test_events_and_samples_by_hand() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.3])
    first, stop = frames_of_events(np.array([0.0, 0.15, 0.12, 0.39]), np.array([0.2, 0.3, 0.02, 0.5]), times, 0.4)
    assert first.tolist() == [0, 2, 1, 3]
    assert stop.tolist() == [2, 4, 2, 4]
    when, observer = np.array([0.01, 0.05, 0.06, 0.11, 0.41]), np.array([0, 0, 1, 0, 0])
    first, stop, again = frames_of_samples(when, observer, times, 0.4)
    assert again.tolist() == [True, False, False, False, False]
    assert (stop - first).tolist() == [0, 1, 1, 1, 0]


def test_names_are_listed_and_read(tmp_path: Path) -> None:
    assert list_video_datasets() == ["dhf1k", "diem", "hollywood2", "ucf_sports", "videos"]
    assert isinstance(load_video_dataset("diem", make_clips.diem(tmp_path), "all"), DIEM)
    with pytest.raises(SpecError, match=r"unknown dataset 'dhf1'\. Did you mean 'dhf1k'\? Known: "):
        load_video_dataset("dhf1", tmp_path)
    with pytest.raises(SpecError, match=r"'osie' is a dataset of images: salzoo\.data\.load_dataset opens it"):
        load_video_dataset("osie", tmp_path)
    with pytest.raises(SpecError, match=r"'dhf1k' is a dataset of videos: salzoo\.data\.load_video_dataset"):
        load_dataset("dhf1k", tmp_path)


def test_check_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_clips.videos(tmp_path / "study")
    sheet = tmp_path / "sheet.png"
    assert main(["data", "check", str(root), "--data", "videos", "-o", str(sheet)]) == 0
    told = capsys.readouterr().out
    assert "clips:        10 in split all, 120 frames, 4.8 s" in told
    assert "samples of gaze, times in s" in told
    assert "fixations:    4 a frame, in 120 frames that were looked at, 0 of them without" in told
    assert "observers:    4" in told
    assert sheet.stat().st_size > 5000
    assert main(["data", "check", str(make_clips.dhf1k(tmp_path)), "--data", "dhf1k", "-o", str(sheet)]) == 0
    told = capsys.readouterr().out
    assert "clips:        4 in split all, 48 frames, 1.6 s" in told
    assert "observers:    not told apart" in told
    assert "density:      maps that come with it" in told
