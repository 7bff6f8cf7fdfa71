"""Scores of videos, against scores by hand with the functions of `salzoo.metrics`."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_clips
from data.make_clips import FRAMES, OBSERVERS, SIZE, moving_dots

import salzoo
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import DHF1K, DIEM, VideoFolder
from salzoo.data.videos.clip import Clip
from salzoo.errors import ImageError, SpecError
from salzoo.evaluation.saved import read_table
from salzoo.evaluation.table import Table
from salzoo.evaluation.videos import VideoTable, evaluate_videos
from salzoo.evaluation.videos.baselines import VideoBaselines
from salzoo.evaluation.videos.scoring import map_predictor, model_predictor
from salzoo.metrics import functional


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return ten clips with gaze, of which clip 9 is half as long."""
    folder = make_clips.videos(tmp_path_factory.mktemp("videos"))
    (folder / "videos/clip9.mp4").unlink()
    make_clips.write_clip(folder / "videos/clip9.mp4", list(moving_dots(9).frames[:6]))
    lines = (folder / "gaze.csv").read_text().splitlines()
    kept = [line for line in lines if not (line.startswith("clip9") and float(line.split(",")[2]) > 0.24)]
    (folder / "gaze.csv").write_text("\n".join(kept))
    return folder


@pytest.fixture(scope="module")
def study(root: Path) -> VideoFolder:
    """Return all of its clips."""
    return VideoFolder(root, "all")


@pytest.fixture(scope="module")
def model() -> SaliencyModel:
    """Return a model without memory."""
    return salzoo.load("signature")


def nss_by_hand(study: VideoFolder, model: SaliencyModel, index: int, every: int = 1) -> list[float]:
    """Return the NSS of each frame, predicted as an image by itself."""
    found = []
    for frame in study.clip(index).frames(every=every):
        (log_density,) = model.log_densities([frame.image])
        counts = study.fixations(index, frame.index).counts(SIZE)
        found.append(float(functional.nss(log_density.exp()[None], counts[None])))
    return found


class TestMeans:
    def test_over_videos_and_over_frames(self, study: VideoFolder, model: SaliencyModel) -> None:
        table = evaluate_videos({"m": model_predictor("m", model)}, study, baselines=(), progress=False)
        each = [nss_by_hand(study, model, index) for index in range(10)]
        assert [len(one) for one in each] == [FRAMES] * 9 + [6]
        assert table.scores["m"]["nss"] == pytest.approx([float(np.mean(one)) for one in each])
        assert table.rows["m"]["nss"] == pytest.approx(float(np.mean([np.mean(one) for one in each])))
        assert table.rows_per_frame["m"]["nss"] == pytest.approx(float(np.mean(np.concatenate(each))))
        assert table.rows["m"]["nss"] != pytest.approx(table.rows_per_frame["m"]["nss"], abs=1e-4)
        low, high = table.intervals()["m"]["nss"]
        assert low < table.rows["m"]["nss"] < high
        assert set(table.rows["m"]) == {"auc_judd", "auc_borji", "sauc", "nss", "cc", "sim", "kld", "ig"}

    def test_every_and_frames_without_fixations(self, tmp_path: Path, model: SaliencyModel) -> None:
        folder = make_clips.videos(tmp_path, clips=5)
        path = folder / "gaze.csv"
        kept = [x for x in path.read_text().splitlines() if not (x.startswith("clip1,") and ",0.100000," in x)]
        path.write_text("\n".join(kept))
        study = VideoFolder(folder, "all")
        assert len(study.fixations(1, 2)) == 0
        table = evaluate_videos({"m": model_predictor("m", model)}, study, every=2, baselines=(), progress=False)
        assert (table.frames, table.empty) == ((6,) * 5, (0, 1, 0, 0, 0))
        assert table.counts["m"]["nss"] == [6, 5, 6, 6, 6]
        by_hand = nss_by_hand(study, model, 1, every=2)
        assert table.scores["m"]["nss"][1] == pytest.approx(float(np.nanmean(by_hand)))
        assert "29 frames scored (one frame of 2), 1 without fixations left out" in table.to_markdown()

    def test_a_smoothing_is_a_further_row_as_predict_video_has_it(
        self, study: VideoFolder, model: SaliencyModel
    ) -> None:
        predictor = model_predictor("m", model, ("density:0.1", "median:3"))
        table = evaluate_videos({"m": predictor}, study.only(["clip3"]), baselines=(), progress=False)
        assert list(table.scores) == ["m", "m density:0.1", "m median:3"]
        for how in (None, "density:0.1", "median:3"):
            source = [(f.time_s, f.image) for f in study.clip(3).frames()]
            scores = [
                float(functional.nss(torch.from_numpy(f.saliency_map.density)[None], counts[None]))
                for f in model.predict_video(source, smooth=how)
                for counts in [study.fixations(3, f.index).counts(SIZE)]
            ]
            row = "m" if how is None else f"m {how}"
            assert table.rows[row]["nss"] == pytest.approx(float(np.mean(scores)), rel=1e-5)

    def test_a_model_that_remembers_beside_itself_frame_by_frame(self, study: VideoFolder) -> None:
        model = salzoo.load("itti.motion")
        predictor = model_predictor("m", model, frame_by_frame=True)
        table = evaluate_videos({"m": predictor}, study.only(["clip0", "clip1"]), every=4, baselines=(), progress=False)
        by_hand = nss_by_hand(study, model, 1, every=4)
        assert table.scores["m frame by frame"]["nss"][1] == pytest.approx(float(np.mean(by_hand)), rel=1e-5)
        assert table.rows["m"]["nss"] != pytest.approx(table.rows["m frame by frame"]["nss"], abs=1e-3)
        alone = model_predictor("m", salzoo.load("signature"), frame_by_frame=True)
        assert list(evaluate_videos({"m": alone}, study.only(["clip0"]), baselines=(), progress=False).scores) == ["m"]

    def test_smoothing_wins_where_people_are_late(self, tmp_path: Path) -> None:
        """What a causal average is for: gaze is three frames behind the dot, and the map is not."""
        study = VideoFolder(make_clips.videos(tmp_path, clips=6, lead=3), "all")

        def brightest(clip: Clip, every: int):  # type: ignore[no-untyped-def]
            for frame in clip.frames(every=every):
                yield frame.index, {"now": frame.image.float().mean(0) ** 4}

        def late(clip: Clip, every: int):  # type: ignore[no-untyped-def]
            past = []
            for frame in clip.frames(every=every):
                past.append(frame.image.float().mean(0) ** 4)
                yield frame.index, {"late": past[max(len(past) - 4, 0)]}

        table = evaluate_videos({"a": brightest, "b": late}, study, baselines=(), progress=False)
        comparison = table.compare("late", "now")
        assert comparison.differences["nss"].mean > 0.5
        assert "paired over 6 videos" in comparison.to_markdown()


class TestBaselines:
    def test_people_are_above_all_that_does_not_know_the_frame(self, study: VideoFolder) -> None:
        table = evaluate_videos({}, study, every=3, progress=False)
        nss, gain = ({row: scores[m] for row, scores in table.rows.items() if m in scores} for m in ("nss", "ig"))
        assert list(table.scores) == ["human", "centre_bias", "permutation", "uniform"]
        assert nss["human"] > 2 + nss["centre_bias"]
        assert gain["human"] > 1
        assert abs(nss["permutation"]) < 1
        assert nss["uniform"] == 0
        assert table.rows["permutation"]["sauc"] < 0.65 < table.rows["human"]["sauc"]
        assert "cc" not in table.rows["human"], "one observer's density is another truth"
        assert "Without centre_bias_train: there is no other split 'train'." in table.notes

    def test_the_centre_bias_of_train(self, root: Path) -> None:
        table = evaluate_videos({}, VideoFolder(root, "test"), progress=False)
        assert table.baseline == "the centre bias of videos:train"
        assert table.rows["centre_bias_train"]["ig"] == pytest.approx(0, abs=1e-6)

    def test_no_baseline_knows_the_video(self, tmp_path: Path) -> None:
        found = []
        for change in (False, True):
            folder = make_clips.videos(tmp_path / str(change), clips=5)
            if change:
                path = folder / "gaze.csv"
                lines = path.read_text().splitlines()
                for i, line in enumerate(lines):
                    if "clip2," in line:
                        lines[i] = ",".join([*line.split(",")[:3], str(i % 50 + 7.5), str(i % 29 + 3.5)])
                path.write_text("\n".join(lines))
            beside = VideoBaselines(VideoFolder(folder, "all", units="pixels", origin=0))
            own = torch.zeros(SIZE, dtype=torch.int32)
            maps = beside.maps(2, 4, SIZE)
            found.append([*maps.values(), beside.prior(2, SIZE), beside.other(2, 4, SIZE, own)])
        assert all(torch.allclose(a.float(), b.float(), atol=1e-7) for a, b in zip(*found, strict=True))

    def test_negatives_by_hand(self, study: VideoFolder) -> None:
        own = study.fixations(2, 5).counts(SIZE)
        elsewhere = sum(
            study.fixations(i, f).counts(SIZE) for i in range(10) if i != 2 for f in range(len(study.clip(i)))
        )
        same = sum(study.fixations(2, f).counts(SIZE) for f in range(FRAMES) if f != 5)
        assert (VideoBaselines(study).other(2, 5, SIZE, own) == elsewhere).all()
        assert (VideoBaselines(study, negatives="same_video").other(2, 5, SIZE, own) == same).all()
        ten = VideoBaselines(study, negatives="ten_frames").other(2, 5, SIZE, own)
        assert ten.sum() == 10 * OBSERVERS
        assert (ten == VideoBaselines(study, negatives="ten_frames").other(2, 5, SIZE, own)).all()
        assert ((ten > 0) <= (elsewhere > 0)).all()

    def test_negatives_of_the_same_video_make_it_harder(self, study: VideoFolder) -> None:
        scores = {}
        for negatives in ("other_videos", "same_video"):
            table = evaluate_videos({}, study, baselines=("human",), negatives=negatives, progress=False)  # type: ignore[arg-type]
            scores[negatives] = table.rows["human"]["sauc"]
            assert f"negatives {negatives}" in table.to_markdown()
        assert scores["same_video"] < scores["other_videos"]

    def test_where_observers_are_lost_there_is_no_human_row(self, tmp_path: Path) -> None:
        make_clips.dhf1k(tmp_path)
        table = evaluate_videos({}, DHF1K(tmp_path, "train"), every=4, progress=False)
        assert "human" not in table.scores
        assert "Without human: no frame has two observers who are told apart." in table.notes
        assert "Warning: the truth are 8-bit maps; their rounding changes kld." in table.notes
        few = "3 videos are too few to conclude anything: score at least 5, better 20"
        assert f"Warning: {few}, or all of them (--split all)." in table.notes
        assert table.compare("centre_bias", "uniform").verdict() == f"{few}, or all of them (--split all)."
        assert replace(table, split="all").compare("centre_bias", "uniform").verdict() == f"{few}."

    def test_diem(self, tmp_path: Path) -> None:
        make_clips.diem(tmp_path)
        table = evaluate_videos({}, DIEM(tmp_path, "all"), every=5, progress=False)
        assert table.empty == (1,) * 5, "all are in a saccade in frame 5"
        assert table.rows["human"]["nss"] > 2


class TestMaps:
    def test_maps_that_predict_wrote_score_as_the_model(self, root: Path, tmp_path: Path, model: SaliencyModel) -> None:
        clips = [str(root / f"videos/clip{n}.mp4") for n in range(10)]
        words = ["--format", "npy", "--every", "3", "-o", str(tmp_path)]
        assert main(["predict", *clips, "-m", "signature", *words]) == 0
        study = VideoFolder(root, "all")
        predictors = {"m": model_predictor("m", model), "files": map_predictor("files", tmp_path)}
        table = evaluate_videos(predictors, study, every=3, baselines=(), progress=False)
        for metric in ("nss", "cc", "auc_judd"):
            assert table.scores["files"][metric] == pytest.approx(table.scores["m"][metric], abs=1e-4)

    def test_a_map_that_is_missing_is_named(self, root: Path, tmp_path: Path) -> None:
        study = VideoFolder(root, "all").only(["clip0"])
        with pytest.raises(ImageError, match="there is no folder"):
            map_predictor("x", tmp_path / "nowhere")
        with pytest.raises(ImageError, match="has no maps of clip 'clip0'"):
            evaluate_videos({"x": map_predictor("x", tmp_path)}, study, progress=False)
        (tmp_path / "clip0").mkdir()
        np.save(tmp_path / "clip0/000000.npy", np.ones(SIZE))
        with pytest.raises(ImageError, match=r"has 1 maps and none of frame 1: the clip has 12 frames"):
            evaluate_videos({"x": map_predictor("x", tmp_path)}, study, progress=False)


class TestCommand:
    def test_table_json_csv_and_comparison(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["evaluate", "signature", "--data", "videos", "--root", str(root), "--split", "all", "--every", "4"]
        words += ["--smooth", "density:0.1", "--intervals", "--compare", "signature density:0.1", "signature"]
        files = [tmp_path / "t.json", tmp_path / "t.csv"]
        assert main([*words, "--json", str(files[0]), "--csv", str(files[1])]) == 0
        told = capsys.readouterr().out
        assert "videos all, 10 videos, 29 frames scored (one frame of 4), 0 without fixations left out" in told
        assert "Means over videos, each video alike:" in told
        assert "signature density:0.1 - signature, paired over 10 videos" in told
        content = json.loads(files[0].read_text())
        assert content["rows"]["human"]["nss"] > content["rows"]["centre_bias"]["nss"]
        assert content["rows"]["human"].keys() == {"auc_judd", "auc_borji", "sauc", "nss", "ig"}
        assert content["by_video"]["signature"]["nss"].keys() == {f"clip{n}" for n in range(10)}
        assert content["frames_without_fixations"] == 0
        assert content["comparison"]["images"] == 10
        rows = list(csv.DictReader(files[1].read_text().splitlines()))
        assert len(rows) == 10 * len(content["rows"])
        assert float(rows[0]["nss"]) == pytest.approx(content["by_video"]["signature"]["nss"]["clip0"])

    def test_saved_scores_compare_as_those_at_once(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = ["--data", "videos", "--root", str(root), "--split", "all", "--every", "4", "--baselines", "uniform"]
        old, new, both = tmp_path / "old.csv", tmp_path / "new.csv", tmp_path / "both.json"
        assert main(["evaluate", "signature", *data, "--csv", str(old)]) == 0
        assert main(["evaluate", "mine=centre_bias", *data, "--csv", str(new)]) == 0
        table = read_table(old)
        assert isinstance(table, VideoTable)
        assert table.to_csv() == old.read_text()
        assert list(table.scores) == ["signature", "uniform"]
        assert main(["evaluate", "mine=centre_bias", "signature", *data, "--json", str(both)]) == 0
        capsys.readouterr()

        apart = tmp_path / "apart.json"
        assert main(["evaluate", "--compare", f"old={old}", f"mine={new}", "--json", str(apart)]) == 0
        told = capsys.readouterr().out
        assert "old - mine, paired over 10 videos" in told
        assert "Means over frames, long videos weigh more:" in told
        found, expected = (json.loads(path.read_text()) for path in (apart, both))
        assert found["rows_per_frame"]["old"] == expected["rows_per_frame"]["signature"]
        assert found["rows"]["mine"] == expected["rows"]["mine"]
        assert main(["evaluate", str(old), str(new), "--compare", "signature", "mine", "--json", str(apart)]) == 0
        assert main(["evaluate", "signature", *data, "--compare", "signature", f"old={new}", "--json", str(both)]) == 0
        at_once, apart_too = (json.loads(path.read_text())["comparison"]["differences"] for path in (both, apart))
        assert at_once == apart_too

    def test_saved_scores_that_do_not_belong_together(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = ["--data", "videos", "--root", str(root), "--split", "all", "--baselines", ""]
        for name, more in (("a", ["--every", "4"]), ("b", ["--every", "5"]), ("c", ["--every", "4", "--images", "9"])):
            words = ["evaluate", f"{name}=uniform", *data, *more, "--csv", str(tmp_path / f"{name}.csv")]
            assert main(words) == 0
        table = read_table(tmp_path / "a.csv")
        assert isinstance(table, VideoTable)
        rows = {"scores": {"d": table.scores["a"]}, "counts": {"d": table.counts["a"]}}
        (tmp_path / "d.csv").write_text(replace(table, truth=("0", *table.truth[1:]), **rows).to_csv())
        images = Table("osie", "test", ("1.jpg",), "mit", "uniform", {"e": {"nss": [1.0]}})
        (tmp_path / "e.csv").write_text(images.to_csv())
        capsys.readouterr()
        for name, said in (
            ("b", "every is 4 and 5"),
            ("c", "do not belong in one table: part_of is None and 10"),
            ("d", "the fixations, the blur or the baseline of ig of 1 videos, such as clip0, differ"),
            ("e", "a.csv has scores of videos, "),
        ):
            words = [str(tmp_path / "a.csv"), str(tmp_path / f"{name}.csv"), "--compare", "a", name]
            assert main(["evaluate", *words]) == 2
            assert said in capsys.readouterr().err
        assert main(["evaluate", "signature", *data, str(tmp_path / "e.csv")]) == 2
        assert "has scores of images, and --data videos are videos" in capsys.readouterr().err
        (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text().replace("truth", "trust", 1))
        assert main(["evaluate", str(tmp_path / "a.csv")]) == 1
        assert "has no column 'truth'" in capsys.readouterr().err

    def test_a_part_is_spread_evenly_and_told(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["evaluate", "signature", "--data", "videos", "--root", str(root), "--split", "all", "--every", "12"]
        assert main([*words, "--images", "3", "--baselines", "uniform", "--json", str(tmp_path / "t.json")]) == 0
        assert "videos all, 3 of 10 videos, " in capsys.readouterr().out
        content = json.loads((tmp_path / "t.json").read_text())
        assert (content["videos"], content["part_of"]) == (3, 10)
        assert list(content["by_video"]["signature"]["nss"]) == ["clip0", "clip4", "clip9"]

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["--data", "osie", "--root", ".", "--every", "2"], "--every is for datasets of videos, and --data osie"),
            (["--data", "videos", "--root", ".", "--folds", "5"], "--folds is for images, and --data videos are"),
            (["--data", "videos", "--root", ".", "--processes", "2"], "--processes is for images, and --data videos"),
            (["--data", "videos", "--root", "ROOT", "--smooth", "mean:2"], "smooth='mean:2' is not accepted"),
            (["--data", "videos", "--root", "ROOT", "--baselines", "gold"], "no baseline of videos is called 'gold'"),
        ],
    )
    def test_usage_errors(
        self,
        root: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        error: str,
    ) -> None:
        (tmp_path / "a.csv").write_text("video,subject,time,x,y\n")
        monkeypatch.chdir(tmp_path)
        words = [str(root) if word == "ROOT" else word for word in words]
        assert main(["evaluate", "signature", *words]) == 2
        assert error in capsys.readouterr().err

    def test_a_clip_that_is_damaged_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The evaluation ends, as that of images does with one that cannot be read: a mean of the rest is another."""
        root = make_clips.videos(tmp_path, clips=3, frames=40)
        path = root / "videos/clip1.mp4"
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat") + len(data) // 3
        data[start : start + 200] = bytes(200)
        path.write_bytes(data)
        words = ["--data", "videos", "--root", str(root), "--split", "all", "--baselines", ""]
        assert main(["evaluate", "m=uniform", *words]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        said = r"salzoo: '.*clip1\.mp4' (is damaged at frame|breaks off after) \d+.*: copy it again|; copy it again"
        assert re.search(said, told.err)

    def test_hidden_fixations(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = make_clips.dhf1k(tmp_path)
        assert main(["evaluate", "signature", "--data", "dhf1k", "--root", str(folder)]) == 1
        assert "the fixations of split 'test' are not public" in capsys.readouterr().err

    def test_a_row_called_as_a_baseline(self, study: VideoFolder, model: SaliencyModel) -> None:
        with pytest.raises(SpecError, match=r"two rows would be called 'human': write NEW=SOURCE"):
            evaluate_videos({"human": model_predictor("human", model)}, study, progress=False)


def test_the_table_prints_itself(study: VideoFolder) -> None:
    table = evaluate_videos({}, study.only(["clip0", "clip1"]), baselines=("uniform",), progress=False)
    assert isinstance(table, VideoTable)
    assert repr(table) == table.to_markdown()
    assert "Warning: 2 videos are too few to conclude anything: score at least 5, better 20." in table.notes


def test_one_video_has_no_interval(study: VideoFolder) -> None:
    table = evaluate_videos({}, study.only(["clip0"]), every=4, baselines=("uniform",), progress=False)
    printed = table.to_markdown(intervals=True)
    assert "nan" not in printed
    assert printed.count("| 0.500 ± – |") >= 2
