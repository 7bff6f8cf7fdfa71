from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from data import make_tiny
from PIL import Image
from scipy.io import loadmat

from salzoo import load
from salzoo.cli import main
from salzoo.data import CAT2000, ISUN, MIT300, OSIE, SALICON, FixationDataset, write_submission
from salzoo.errors import DataError, SpecError
from salzoo.images.saliency_map import SaliencyMap


def ramps(dataset: FixationDataset):
    """Maps that rise from the left by another slope on each image, in the reverse order."""
    for index in reversed(range(len(dataset))):
        height, width = dataset.size(index)
        row = np.linspace(0, 1 + index / 10, width)
        log_density = np.tile(row, (height, 1))
        yield dataset.names[index], SaliencyMap(log_density - np.log(np.exp(log_density).sum()))


def expected(dataset: FixationDataset, name: str) -> np.ndarray:
    return dict(ramps(dataset))[name].saliency * 255


@pytest.fixture
def mit300(tmp_path: Path) -> MIT300:
    return MIT300(make_tiny.mit300(tmp_path))


@pytest.mark.parametrize(("reader", "write"), [(MIT300, make_tiny.mit300), (CAT2000, make_tiny.cat2000)])
def test_images_of_the_same_name_and_size(reader, write, tmp_path):
    dataset = reader(write(tmp_path), "test")
    output = write_submission(dataset, ramps(dataset), tmp_path / "out" / "model")
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*.jpg")) == sorted(dataset.names)
    for index, name in enumerate(dataset.names):
        with Image.open(output / name) as image:
            assert (image.format, image.mode) == ("JPEG", "L")
            assert (image.height, image.width) == dataset.size(index)
            np.testing.assert_allclose(np.asarray(image, dtype=float), expected(dataset, name), atol=3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


def test_salicon_2015_is_json(tmp_path):
    dataset = SALICON(make_tiny.salicon(tmp_path), "test", edition=2015)
    output = write_submission(dataset, ramps(dataset), tmp_path / "mine")
    (path,) = output.iterdir()
    assert path.name == "fixations_test2014_mine_results.json"
    results = {result["image_id"]: result["saliency_map"] for result in json.loads(path.read_text(encoding="utf-8"))}
    assert sorted(results) == [17, 18, 19, 20, 21]
    with Image.open(io.BytesIO(base64.b64decode(results[18]))) as image:
        np.testing.assert_allclose(np.asarray(image), expected(dataset, dataset.names[1]), atol=0.51)


def test_lsun_maps_have_the_form_of_the_sets_own(tmp_path):
    salicon = SALICON(make_tiny.salicon(tmp_path), "test", edition=2017)
    output = write_submission(salicon, ramps(salicon), tmp_path / "2017")
    assert sorted(path.name for path in output.iterdir()) == [name.replace("jpg", "png") for name in salicon.names]
    with Image.open(output / "COCO_test2014_000000000018.png") as image:
        np.testing.assert_allclose(np.asarray(image), expected(salicon, salicon.names[1]), atol=0.51)
    isun = ISUN(make_tiny.isun(tmp_path), "test")
    output = write_submission(isun, ramps(isun), tmp_path / "isun_maps")
    np.testing.assert_allclose(loadmat(output / "sun_13.mat")["I"] * 255, expected(isun, "sun_13.jpg"), atol=1e-3)


def test_the_command_predicts_and_writes(mit300, tmp_path, capsys):
    words = ["data", "submit", str(tmp_path), "--data", "mit300", "-m", "centre_bias", "-o", str(tmp_path / "mine")]
    assert main(words) == 0
    assert f"Wrote 17 maps of mit300 test into {tmp_path / 'mine'}" in capsys.readouterr().out
    model = load("centre_bias")
    for index, name in enumerate(mit300.names):
        with Image.open(tmp_path / "mine" / name) as image:
            saliency = model.predict(mit300.image(index)).saliency
            np.testing.assert_allclose(np.asarray(image) / 255, saliency, atol=0.02)
    assert main(words) == 2
    assert "exists; name a folder that does not" in capsys.readouterr().err
    assert main([*words[:3], "--data", "osie", "-m", "uniform", "-o", str(tmp_path / "no")]) != 0


def test_all_or_nothing(mit300, tmp_path):
    maps = dict(ramps(mit300))
    name, other = mit300.names[:2]
    for wrong, message in (
        (list(maps.items())[1:], r"1 of 17 maps missing, such as that of i17\.jpg"),
        ([*maps.items(), (name, maps[name])], r"i1\.jpg comes twice"),
        ([("x.jpg", maps[name])], r"x\.jpg is not in split 'test'"),
        ((maps | {name: maps[other]}).items(), r"i1\.jpg is \(64, 48\) \(height, width\), its image \(48, 64\)"),
    ):
        with pytest.raises(DataError, match=message):
            write_submission(mit300, wrong, tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["MIT300"]


def test_values_outside_the_range_are_refused(mit300, tmp_path):
    class Raw:
        saliency = np.full((48, 64), np.nan, np.float32)

    with pytest.raises(DataError, match="ranges from nan to nan"):
        write_submission(mit300, [("i1.jpg", Raw())], tmp_path / "out")


def test_where_it_cannot_go(mit300, tmp_path):
    with pytest.raises(SpecError, match="exists; name a folder that does not"):
        write_submission(mit300, ramps(mit300), tmp_path)
    osie = OSIE(make_tiny.osie(tmp_path))
    with pytest.raises(SpecError, match="no benchmark takes maps of osie; known: mit300"):
        write_submission(osie, ramps(osie), tmp_path / "out")
    salicon = SALICON(make_tiny.salicon(tmp_path), "test")
    with pytest.raises(SpecError, match="salicon_of_unknown_year"):
        write_submission(salicon, ramps(salicon), tmp_path / "out")
