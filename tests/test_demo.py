"""What the page of `salzoo demo` computes, and the command; the page itself is tested in test_demo_page.py."""

from __future__ import annotations

import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.demo import functions, page
from salzoo.demo.functions import Prediction
from salzoo.demo.upkeep import make_room
from salzoo.errors import DataError, ImageError, SalzooError, SalzooWarning, SpecError
from salzoo.images.saliency_map import SaliencyMap
from salzoo.metrics import functional
from salzoo.registry import RECOMMENDED

HEIGHT, WIDTH = 60, 80


def peak(x: float, y: float) -> SaliencyMap:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    logits = -((columns - x) ** 2 + (rows - y) ** 2) / 200
    return SaliencyMap(torch.from_numpy(logits).flatten().log_softmax(0).reshape(HEIGHT, WIDTH))


@pytest.fixture
def prediction(tmp_path: Path) -> Prediction:
    path = tmp_path / "my photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return Prediction(path, functions.read_image(path), {"left": peak(20, 30), "right": peak(60, 30)})


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    (folder / "uploads").mkdir(exist_ok=True)
    (folder / "uploads" / name).write_text(text)
    return folder / "uploads" / name


def test_a_contour_is_drawn_once_however_often_it_is_asked_for(
    prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def overlay(self: SaliencyMap, image: object, contours: list[float], **look: object) -> Image.Image:
        drawn.append(contours)
        return Image.new("RGB", (WIDTH, HEIGHT))

    monkeypatch.setattr(SaliencyMap, "overlay", overlay)
    page._show(prediction, "salzoo", 0.6, [0.8] + [0.5] * 1000)
    assert drawn[0] == [0.5, 0.8]


class TestModels:
    def test_the_recommended_one_is_first_and_all_can_be_loaded(self) -> None:
        names = functions.loadable_models()
        assert names[0] == RECOMMENDED
        assert names[1:] == sorted(names[1:])
        assert {"uniform", "bms", "centre_bias"} < set(names)
        assert {name.partition(".")[0] for name in names} <= set(salzoo.list_models(trained=True))
        assert all(functions.summary(name) for name in names)

    def test_own_checkpoints_are_listed_and_authors_weights_that_are_not_here_are_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "salgan.authors" not in functions.loadable_models()
        (tmp_path / "salgan.authors").mkdir()
        monkeypatch.setenv("SALZOO_HUB", str(tmp_path))
        assert "salgan.authors" in functions.loadable_models()

    @pytest.mark.parametrize("name", ["/etc", "hf://a/b", "salgan.authors", "no_such"])
    def test_others_are_refused(self, name: str) -> None:
        with pytest.raises(SpecError, match=r"there is no model '.*' here; choose one of deepgaze2e, "):
            functions.load_model(name)

    def test_a_model_is_loaded_once(self) -> None:
        assert functions.load_model("signature") is functions.load_model("signature")


class TestPredict:
    def test_equals_the_library(self, tmp_path: Path) -> None:
        path = tmp_path / "turned.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, exif=exif)
        found = functions.predict(path, ["signature", "uniform", "signature"])
        assert list(found.maps) == ["signature", "uniform"]
        assert found.size == (WIDTH, HEIGHT)  # upright
        np.testing.assert_array_equal(found.maps["signature"].density, salzoo.load("signature").predict(path).density)

    def test_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="choose a model"):
            functions.predict(tmp_path / "a.jpg", [])

    def test_a_text_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_text("dear diary")
        self.refused(tmp_path / "a.jpg", "'a.jpg' is not an image in a format that salzoo reads")

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").touch()
        self.refused(tmp_path / "a.jpg", r"'a.jpg' is empty \(0 bytes\)")

    def test_a_file_that_was_cleaned_away(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "a.jpg", "'a.jpg' was uploaded too long ago")

    def test_an_image_cut_short(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:3000])
        self.refused(path, "cannot decode 'a.png'")

    @pytest.mark.parametrize(
        ("size", "told"),
        [
            ((5000, 5001), "5000 x 5001 pixels, 25 million; this page takes up to 25 million"),
            ((10_000, 10_000), "10000 x 10000 pixels, more than the limit of 89478485; shrink it$"),
            ((20_000, 15_000), "over 178956970 pixels, more than the limit of 89478485; shrink it$"),
        ],
    )
    def test_an_image_too_large(self, tmp_path: Path, size: tuple[int, int], told: str) -> None:
        Image.new("1", size).save(tmp_path / "a.png")
        self.refused(tmp_path / "a.png", told)

    @staticmethod
    def refused(path: Path, told: str) -> None:
        with pytest.raises(SalzooError, match=told) as caught:
            functions.predict(path, ["signature"])
        assert str(path.parent) not in str(caught.value)


class TestBox:
    @pytest.mark.parametrize("text", ["20 10 50 40", "(50, 40, 20, 10)", "x0=20 y0=40, 50.0;10", "20,10,50,40"])
    def test_corners_in_any_order(self, text: str) -> None:
        numbers = text.replace("x0", "").replace("y0", "")
        assert functions.parse_box(numbers) == (20, 10, 50, 40)

    @pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 4 5", "a b c d"])
    def test_other_than_four_numbers(self, text: str) -> None:
        with pytest.raises(SpecError, match="a box is four numbers"):
            functions.parse_box(text)

    def test_share_and_lift(self, prediction: Prediction) -> None:
        found = functions.measure(prediction, (0, 0, 40, 60))
        assert found["left"].share == pytest.approx(float(prediction.maps["left"].density[:, :40].sum()), rel=1e-5)
        assert found["left"].lift == pytest.approx(found["left"].share / 0.5)
        assert found["left"].share > 0.9 > 0.1 > found["right"].share

    @pytest.mark.parametrize("box", [(90.0, 0.0, 99.0, 9.0), (5.0, 5.0, 5.0, 9.0)])
    def test_a_box_without_a_pixel(self, prediction: Prediction, box: tuple[float, float, float, float]) -> None:
        with pytest.raises(ImageError, match=r"^(the box|a box)"):
            functions.measure(prediction, box)


def test_files_keep_the_numbers(prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    files = functions.write_files(prediction, tmp_path / "out")
    names = [f"my photo_{model}{end}" for model in ("left", "right") for end in (".npy", ".png", "_overlay.jpg")]
    assert [path.name for path in files] == names
    np.testing.assert_array_equal(np.load(files[0]), prediction.maps["left"].density)
    assert files[2].read_bytes() == prediction.maps["left"].encode(".jpg", image=prediction.path)


@pytest.mark.parametrize("sixteen_bit", [False, True])
def test_shrunk_for_looking_at(prediction: Prediction, tmp_path: Path, sixteen_bit: bool) -> None:
    if sixteen_bit:
        path = tmp_path / "grey.png"
        Image.fromarray(np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)).save(path)
        prediction = Prediction(path, functions.read_image(path), prediction.maps)
    small = functions.shrunk(prediction, 40)
    assert small.size == (30, 40)
    assert small.image.dtype == torch.uint8
    expected = prediction.maps["left"].density.reshape(30, 2, 40, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(small.maps["left"].density, expected, rtol=0.02, atol=1e-7)
    assert functions.shrunk(prediction, 80) is prediction


class TestScore:
    ROWS = "image,x,y\nmy photo,20,30\nmy photo.png,25,31\nmy photo.jpg,60,29\n"

    def test_values(self, prediction: Prediction, tmp_path: Path) -> None:
        found = functions.score(prediction, table(tmp_path, self.ROWS))
        assert found.fixations == 3
        assert found.notes == ()
        assert found.metrics[:5] == ("NSS ↑", "AUC-Judd ↑", "CC ↑", "SIM ↑", "KL ↓")
        assert found.metrics[5:] == ("IG over uniform ↑", "IG over centre bias ↑")
        counts, density = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.int32), torch.zeros(HEIGHT, WIDTH)
        rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
        for x, y in ((20, 30), (25, 31), (60, 29)):
            counts[0, y, x] = 1
            kernel = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (HEIGHT / 25) ** 2))
            density += kernel / kernel.sum() / 3
        bias = salzoo.load("centre_bias").predict(prediction.path).density
        for name, each in prediction.maps.items():
            m = each.density[None]
            expected = [functional.nss(m, counts), functional.auc_judd(m, counts), functional.cc(m, density[None])]
            expected += [functional.sim(m, density[None]), functional.kl_div(m, density[None])]
            expected += [functional.info_gain(m, counts, base) for base in (np.ones((HEIGHT, WIDTH)), bias)]
            np.testing.assert_allclose(found.rows[name], [float(value) for value in expected], rtol=1e-4)

    def test_what_is_left_out_is_told(self, prediction: Prediction, tmp_path: Path) -> None:
        rows = self.ROWS + "my photo,-5,10\nother[1],1,1\nother[1],2,2\nthird,3,3\nmy photo,,4\n"
        found = functions.score(prediction, table(tmp_path, rows))
        assert found.fixations == 3
        assert found.notes == (
            "1 of 4 points lie off the image and are left out.",
            "Rows of the table that are left out: 3 on other[1], third; 1 no coordinates (NaN).",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "table.csv is empty"),
            ("image,x,y\n", "table.csv has no rows"),
            ("x,y\n1,2\n", "has no column 'image'"),
            ("image,x,y\nmy photo,1,one\n", "line 2: y is 'one', not a number"),
            ("image,x,y\na,1,2\nb,1,2\n", "has rows of 'a', 'b' and none of 'my photo.png'"),
            ("image,x,y\nmy photo,900,900\nmy photo,910,9\n", "100% of the points lie outside"),
            ("image,x,y\nmy photo,0.5,0.5\nmy photo,0.2,0.7\n", '"units": "fractions"'),
        ],
    )
    def test_bad_tables(self, prediction: Prediction, tmp_path: Path, text: str, told: str) -> None:
        with pytest.raises(SalzooError, match=re.escape(told)) as caught:
            functions.score(prediction, table(tmp_path, text))
        assert "/tmp" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)

    @pytest.mark.parametrize("name", ["table.xlsx", "table.parquet", "table.mat", "table.npz", "a.csv", "images"])
    def test_files_that_are_no_tables(self, prediction: Prediction, tmp_path: Path, name: str) -> None:
        source = table(tmp_path, "", name)
        source.write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(SalzooError, match=f"^{name}") as caught:
            functions.score(prediction, source)
        assert "/tmp" not in str(caught.value)

    @pytest.mark.parametrize("name", ["study.json", "splits.json", "images", "table.dat", "T.CSV"])
    def test_a_table_of_any_name(self, prediction: Prediction, tmp_path: Path, name: str) -> None:
        assert functions.score(prediction, table(tmp_path, self.ROWS, name)).fixations == 3

    def test_doubts_are_told(self, prediction: Prediction, tmp_path: Path) -> None:
        rows = "image,x,y,duration\n" + "".join(
            f"my photo,{20 + i % 30},{10 + i % 37},{2 + i % 7}\n" for i in range(60)
        )
        with pytest.warns(SalzooWarning):
            found = functions.score(prediction, table(tmp_path, rows), '{"time_unit": "ms"}')
        assert [note for note in found.notes if "the median duration is 5 ms" in note]

    def test_points_off_the_image_that_options_vouch_for(self, prediction: Prediction, tmp_path: Path) -> None:
        source = table(tmp_path, "image,x,y\nmy photo,900,900\n")
        with pytest.raises(DataError, match=r"none of the 1 points of 'table\.csv' lies on the image"):
            functions.score(prediction, source, '{"units": "pixels"}')

    def test_options(self, prediction: Prediction, tmp_path: Path) -> None:
        pixels = functions.score(prediction, table(tmp_path, "image,x,y\nmy photo,19.5,29.5\nmy photo,59.5,14.5\n"))
        fractions = table(tmp_path, "image,x,y\nmy photo,.25,.5\nmy photo,.75,.25\n")
        assert functions.score(prediction, fractions, '{"units": "fractions"}').rows == pixels.rows

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("{", "not valid JSON"),
            ("[]", "are an object"),
            ('{"fixations": "../../secret.csv"}', "the table is uploaded"),
            ('{"unit": "pixels"}', "units"),
        ],
    )
    def test_bad_options(self, prediction: Prediction, tmp_path: Path, options: str, told: str) -> None:
        with pytest.raises(SpecError, match=told):
            functions.score(prediction, table(tmp_path, self.ROWS), options)

    def test_an_image_that_was_cleaned_away(self, prediction: Prediction, tmp_path: Path) -> None:
        prediction.path.unlink()
        with pytest.raises(SalzooError, match=r"'my photo\.png' was uploaded too long ago"):
            functions.score(prediction, table(tmp_path, self.ROWS))

    def test_a_name_with_a_folder_in_it_writes_nothing_outside(self, prediction: Prediction, tmp_path: Path) -> None:
        found = functions.score(prediction, table(tmp_path, self.ROWS.replace("my photo", "../../my photo")))
        assert found.fixations == 3
        assert all(math.isfinite(value) for values in found.rows.values() for value in values)


def test_sample_images_need_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salzoo.images.samples.find_spec", lambda name: None)
    assert [path.name for path in functions.write_examples(tmp_path)] == [
        "pop_out_colour.png", "pop_out_orientation.png", "pop_out_size.png"
    ]  # fmt: skip


def test_the_oldest_files_make_room(tmp_path: Path) -> None:
    for age, name in enumerate(("d/newest", "c/new", "a/old", "b/oldest")):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 - age, 1e9 - age))
    with (tmp_path / "b" / "oldest").open("ab") as still_written:
        make_room(tmp_path, 299)
        assert os.fstat(still_written.fileno()).st_size == 0, "its room is free before it is closed"
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"newest", "new"}
    make_room(tmp_path, 200)
    assert (tmp_path / "c" / "new").is_file()


class TestCommand:
    def test_a_busy_port_is_refused_in_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            assert main(["demo", "--port", str(port)]) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert re.fullmatch(
            rf"salzoo: cannot listen on 127\.0\.0\.1:{port}: .+; choose another with --port or --host\n", told
        )

    @pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
    def test_no_port(self, port: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as end:
            main(["demo", f"--port={port}"])
        assert end.value.code == 2
        assert "is not a port" in capsys.readouterr().err

    def test_without_gradio(self, tmp_path: Path) -> None:
        code = "import sys; sys.modules['gradio'] = None; from salzoo.cli import main; sys.exit(main(sys.argv[1:]))"
        for words in (["demo", "--space", str(tmp_path / "space")], ["demo", "--port", "7999"]):
            done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (
                2, 'salzoo: the page needs gradio: pip install "salzoo[demo]"\n'
            )  # fmt: skip
        assert not (tmp_path / "space").exists()


class TestSpace:
    @pytest.fixture(autouse=True)
    def _gradio(self) -> None:
        pytest.importorskip("gradio", reason="comes with salzoo[demo]")

    def test_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        import gradio

        folder = tmp_path / "space"
        assert main(["demo", "--space", str(folder)]) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "app.py", "requirements.txt"]
        assert str(folder / "app.py") in capsys.readouterr().out
        _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        facts = yaml.safe_load(front)
        assert facts["sdk"] == "gradio"
        assert facts["sdk_version"] == gradio.__version__
        assert facts["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
        assert (folder / facts["app_file"]).is_file()
        assert facts["license"] == "apache-2.0"
        assert len(facts["short_description"]) <= 60
        assert isinstance(facts["models"], list)
        assert RECOMMENDED in text
        assert (folder / "requirements.txt").read_text() == f"salzoo[demo]=={salzoo.__version__}\n"
        assert main(["demo", "--space", str(folder)]) == 0  # again: written anew

    def test_another_app_is_left_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "app.py").write_text("print('mine')\n")
        assert main(["demo", "--space", str(tmp_path)]) == 1
        assert "is of something else" in capsys.readouterr().err
        assert os.listdir(tmp_path) == ["app.py"]
