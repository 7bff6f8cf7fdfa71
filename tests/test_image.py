"""Every accepted kind of image gives the right values; every bad one gives one clear error."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from salzoo.errors import ImageError
from salzoo.images.read import ImageLike, find_images, to_array, to_list, to_tensor

HEIGHT, WIDTH = 6, 9


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def chw(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb.transpose(2, 0, 1).copy())


def png(width: int, height: int, data: bytes = b"", depth: int = 8) -> bytes:
    """A grey PNG built by hand: a head that promises any size, and any data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


# ---- kinds


@pytest.mark.parametrize("kind", ["array", "pil", "str", "path", "tensor"])
def test_8_bit_kinds_agree(kind: str, rgb: np.ndarray, chw: torch.Tensor, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(rgb).save(file)
    kinds: dict[str, ImageLike] = {
        "array": rgb,
        "pil": Image.fromarray(rgb),
        "str": str(file),
        "path": file,
        "tensor": chw,
    }
    image = kinds[kind]
    tensor = to_tensor(image)
    assert tensor.dtype == torch.uint8
    assert tensor.is_contiguous()
    assert torch.equal(tensor, chw)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_float_tensors(dtype: torch.dtype, chw: torch.Tensor) -> None:
    source = (chw / 255).to(dtype)
    assert to_tensor(source).dtype == torch.float32
    assert torch.equal(to_tensor(source), source.float())


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f4"])
def test_float_arrays(dtype: str, rgb: np.ndarray) -> None:
    source = (rgb / 255).astype(dtype)
    assert to_tensor(source).dtype == torch.float32
    np.testing.assert_array_equal(to_tensor(source).numpy(), source.astype(np.float32).transpose(2, 0, 1))


def test_grey_is_repeated(rgb: np.ndarray) -> None:
    grey = rgb[..., 0]
    expected = torch.from_numpy(np.stack([grey] * 3))
    for image in (grey, grey[..., None], torch.from_numpy(grey.copy())[None], Image.fromarray(grey)):
        assert torch.equal(to_tensor(image), expected)


def test_bool_is_black_and_white() -> None:
    mask = np.array([[True, False, True]])
    expected = torch.tensor([[[255, 0, 255]]] * 3, dtype=torch.uint8)
    assert torch.equal(to_tensor(mask), expected)
    assert torch.equal(to_tensor(torch.from_numpy(mask)[None]), expected)
    assert torch.equal(to_tensor(Image.fromarray(mask)), expected)  # mode "1"


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "array"])
def test_16_bit_keeps_its_values(suffix: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 255, 256], [30000, 65279, 65534, 65535]], np.uint16)
    image: np.ndarray | Path = values
    if suffix != "array":
        image = tmp_path / f"a.{suffix}"
        Image.fromarray(values).save(image)
    tensor = to_tensor(image)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), np.stack([values / np.float32(65535)] * 3))


def test_transparent_colour_of_a_16_bit_png_is_white() -> None:
    image = Image.fromarray(np.array([[7, 8, 9]], np.uint16))
    image.info["transparency"] = 8
    np.testing.assert_array_equal(
        to_tensor(image)[0].numpy(), np.array([[7, 65535, 9]], np.float32) / np.float32(65535)
    )


def test_float_tiff(tmp_path: Path) -> None:
    values = np.array([[0, 0.25, 1]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(to_tensor(tmp_path / "a.tiff").numpy(), np.stack([values] * 3))


def test_alpha_lies_over_white(tmp_path: Path) -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]]], np.uint8)  # opaque, clear, one fifth
    expected = torch.tensor([[10, 255, 204], [20, 255, 224], [30, 255, 244]], dtype=torch.uint8)[:, None]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    for image in (rgba, Image.fromarray(rgba), tmp_path / "a.png"):
        assert torch.equal(to_tensor(image), expected)
    floats = to_tensor(rgba.astype(np.float32) / 255)
    torch.testing.assert_close(floats, expected / 255)


def test_transparent_palette_and_grey_lie_over_white(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=1)
    expected = torch.tensor([[200, 255], [0, 255], [0, 255]], dtype=torch.uint8)[:, None]
    assert torch.equal(to_tensor(tmp_path / "p.png"), expected)
    grey = Image.fromarray(np.array([[[90, 255], [90, 0]]], np.uint8))
    assert grey.mode == "LA"
    assert to_tensor(grey).tolist() == [[[90, 255]]] * 3


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "P", "RGBX"])
def test_other_modes_become_rgb(mode: str) -> None:
    red = Image.new("RGB", (3, 2), (255, 0, 0)).convert(mode)
    difference = to_tensor(red).int() - torch.tensor([255, 0, 0])[:, None, None]
    assert difference.abs().max() <= 2  # YCbCr and HSV round


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_rotation_is_undone(orientation: int, suffix: str, rgb: np.ndarray, tmp_path: Path) -> None:
    upright = Image.fromarray(np.kron(rgb, np.ones((16, 16, 1), np.uint8)))  # blocks that JPEG keeps
    stored = {  # how a camera held that way stores the upright image
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }[orientation](np.asarray(upright))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif, **options)
    expected = to_tensor(upright).int()
    assert (to_tensor(file).int() - expected).abs().max() <= 6
    with Image.open(file) as image:
        assert (to_tensor(image).int() - expected).abs().max() <= 6


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Tag data larger than file")
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_broken_exif_does_not_hide_the_image(suffix: str, rgb: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    body = exif.tobytes()
    file = tmp_path / f"a.{suffix}"
    for broken in (body.replace(b"MM", b"XX"), body[:-12], body[:9]):
        Image.fromarray(rgb).save(file, exif=broken, lossless=True)
        np.testing.assert_array_equal(to_array(file), rgb)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert to_tensor(tmp_path / "a.gif")[:, 0, 0].tolist() == [255, 0, 0]


def test_one_pixel_wide_is_fine(tmp_path: Path) -> None:
    Image.new("RGB", (1, 2)).save(tmp_path / "a.png")
    assert to_tensor(tmp_path / "a.png").shape == (3, 2, 1)
    assert to_tensor(np.zeros((1, 700), np.uint8)).shape == (3, 1, 700)


def test_result_is_the_callers_own(rgb: np.ndarray, chw: torch.Tensor) -> None:
    for image in (rgb, chw, rgb[..., 0], chw / 255):
        before = np.asarray(image).copy()
        to_tensor(image).zero_()
        np.testing.assert_array_equal(np.asarray(image), before)


def test_pil_image_is_left_as_it_was(rgb: np.ndarray) -> None:
    image = Image.fromarray(rgb)
    image.getexif()[ExifTags.Base.Orientation] = 6
    assert to_tensor(image).shape == (3, WIDTH, HEIGHT)
    assert image.size == (WIDTH, HEIGHT)
    assert image.getexif()[ExifTags.Base.Orientation] == 6


def test_to_array_needs_no_torch(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    code = (
        "import sys; import salzoo.images.saliency_map; from salzoo.images.read import to_array;"
        "print(to_array(sys.argv[1])[0, 0].tolist(), 'torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1, 2, 3] False"


# ---- lists


def test_to_list(chw: torch.Tensor, rgb: np.ndarray) -> None:
    for single in ("a.jpg", Path("a.jpg"), rgb, chw, Image.fromarray(rgb)):
        images, batch = to_list(single)
        assert len(images) == 1
        assert images[0] is single
        assert not batch
    mixed: list[ImageLike] = ["a.jpg", rgb, chw]
    assert to_list(mixed) == (mixed, True)
    assert to_list(tuple(mixed)) == (mixed, True)
    assert to_list([]) == ([], True)
    images, batch = to_list(torch.stack([chw, 255 - chw]))
    assert batch
    assert torch.equal(to_tensor(images[0]), chw)
    assert torch.equal(to_tensor(images[1]), 255 - chw)


# ---- refusals: files


def refused(image: Any, *words: str) -> None:
    """Both readers refuse it with an `ImageError` that holds all the words."""
    for read in (to_tensor, to_array):
        with pytest.raises(ImageError) as caught:
            read(image)
        for word in words:
            assert word in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.jpg", "no such file", "none.jpg")
    refused(str(tmp_path), "is a folder", str(tmp_path))
    refused("", "is a folder")
    refused("a\0b.jpg", "no such file")


def test_empty_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    refused(tmp_path / "empty.png", "empty.png", "0 bytes")
    (tmp_path / "text.jpg").write_text("a letter, not a picture\n" * 50)
    refused(tmp_path / "text.jpg", "text.jpg", "not an image")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "gif", "bmp"])
@pytest.mark.parametrize("kept", [0.1, 0.6])
def test_truncated_files(suffix: str, kept: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix))
    file = tmp_path / f"cut.{suffix}"
    file.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * kept)])
    refused(file, "cut." + suffix)


def test_damaged_file(tmp_path: Path) -> None:
    data = bytearray(png(4, 3, b"\0\1\2\3\4" * 3))
    data[45] ^= 255  # inside the compressed pixels
    (tmp_path / "flip.png").write_bytes(data)
    refused(tmp_path / "flip.png", "flip.png")


@pytest.mark.parametrize("size", [(10000, 10000), (30000, 30000)])  # above Pillow's limit; above twice it
def test_huge_file_is_refused_before_decoding(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png(*size))  # no pixels: decoding would complain of those
    refused(tmp_path / "huge.png", "huge.png", "89478485", "MAX_IMAGE_PIXELS = None", "shrink")


def test_limit_can_be_moved(monkeypatch: pytest.MonkeyPatch, rgb: np.ndarray) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    refused(Image.fromarray(rgb), f"{HEIGHT} x {WIDTH}", str(HEIGHT * WIDTH - 1))
    for limit in (HEIGHT * WIDTH, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert to_tensor(Image.fromarray(rgb)).shape == (3, HEIGHT, WIDTH)


def test_one_pixel_and_none(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    refused(tmp_path / "dot.png", "dot.png", "1 x 1", "at least 2 pixels")
    refused(np.zeros((1, 1, 3)), "at least 2 pixels")
    refused(torch.zeros(3, 1, 1), "at least 2 pixels")
    refused(np.zeros((0, 5)), "0 x 5")


def test_float_tiff_out_of_range_names_the_file(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255]], np.float32)).save(tmp_path / "f.tiff")
    refused(tmp_path / "f.tiff", "f.tiff", "0 to 255")


# ---- refusals: arrays and tensors


@pytest.mark.parametrize(
    ("low", "high", "fix"),
    [(0, 255, "divide by 255"), (-1, 1, "scale"), (0, 1.01, "clip"), (0, np.nan, "nan"), (0, np.inf, "inf")],
)
def test_float_out_of_range(low: float, high: float, fix: str) -> None:
    array = np.zeros((4, 5, 3), np.float32)
    array[0, 0, 0], array[1, 1, 1] = low, high
    refused(array, f"to {high:g}", fix, "[0, 1]")
    refused(torch.from_numpy(array).permute(2, 0, 1), f"to {high:g}", fix)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint32", "complex64", "object"])
def test_open_ranges(dtype: str) -> None:
    refused(np.zeros((4, 5, 3), dtype), dtype, "uint8 (0 to 255)")


def test_integer_pil_images_are_16_bit() -> None:
    refused(Image.fromarray(np.array([[0, 70000]], np.int32)), "0 to 70000", "65535")
    refused(Image.fromarray(np.array([[-1, 5]], np.int32)), "-1 to 5", "65535")


def test_axes_in_the_wrong_order() -> None:
    refused(np.zeros((3, 40, 50)), "(3, 40, 50)", "transpose(1, 2, 0)", "tensor")
    refused(torch.zeros(40, 50, 3), "(40, 50, 3)", "permute(2, 0, 1)", "numpy")
    refused(np.zeros((2, 40, 50, 3)), "list(array)")
    refused(torch.zeros(2, 3, 40, 50), "to_list")
    refused(torch.zeros(40, 50), "tensor[None]")
    refused(torch.zeros(4, 40, 50), "(4, 40, 50)")
    refused(np.zeros(40), "(40,)")
    refused(np.zeros((40, 50, 2)), "(40, 50, 2)")


@pytest.mark.parametrize("thing", [None, 3, {"a.jpg"}, [[0, 1]]])
def test_other_types(thing: object) -> None:
    refused(thing, type(thing).__name__, "a path, a file opened in binary mode", "a numpy array")


# ---- find_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.JPG",
        "a.png",
        "raw.dat",
        ".hidden.png",
        "sub/c.png",
        "sub/deep/d.webp",
        "odd[1].png",
        "none/x.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:left out 1 in")
@pytest.mark.filterwarnings("ignore:left out . images in subfolders")
@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["raw.dat"], ["raw.dat"]),  # named: kept whatever its extension
        (["."], ["a.png", "b.JPG", "odd[1].png"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["*"], ["a.png", "b.JPG", "odd[1].png"]),
        (["*.png"], ["a.png", "odd[1].png"]),
        (["**/*.png"], ["a.png", "odd[1].png", "sub/c.png"]),
        (["sub/**"], ["sub/c.png", "sub/deep/d.webp"]),
        (["sub", "./sub/c.png", "b.JPG", "sub/../b.JPG"], ["sub/c.png", "b.JPG"]),  # in order, each once
    ],
)
def test_find_images(folder: Path, inputs: list[str], names: list[str]) -> None:
    assert find_images(inputs) == [Path(name) for name in names]
    absolute = find_images([folder / item for item in inputs])
    assert [path.resolve() for path in absolute] == [folder.resolve() / name for name in names]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("none", "holds no image"),
        ("*.dat", "matches 1 files"),
        ("*.xyz", "matches 0 files"),
    ],
)
def test_find_images_that_are_not_there(folder: Path, item: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        find_images(["a.png", item])
    assert item in str(caught.value)


def test_find_images_leaves_a_missing_file_to_the_reader(folder: Path) -> None:
    assert [path.name for path in find_images(["a.png", "missing.jpg"])] == ["a.png", "missing.jpg"]
    with pytest.raises(ImageError, match=r"no such file or folder: 'missing.jpg'"):
        find_images(["missing.jpg", "gone.png"])


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    refused(tmp_path / "huge.png", "huge.png", "10000 x 10000 pixels", "PIL.Image.MAX_IMAGE_PIXELS")
