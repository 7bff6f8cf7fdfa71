"""Any size and aspect through the network's input and back."""

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image

import salzoo
from salzoo.errors import ImageError, SpecError
from salzoo.images.geometry import frame_size
from salzoo.images.preprocess import Preprocess, as_float

IMAGENET = Preprocess((24, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.fixture
def float64_by_default():
    """Make torch's default type float64 for a while: nothing may follow it."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random_image(height, width):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fit", ["squash", "pad", "pad_floor", "aspect", "longest", "within", "between", "cells"])
@pytest.mark.parametrize("size", [(60, 80), (80, 60), (64, 64), (7, 90)])
def test_a_ramp_comes_back(fit, size):
    preprocess = Preprocess((96, 128), fit=fit)
    ramp = torch.linspace(0, 1, size[1]).expand(1, 1, *size)
    resized = preprocess.resize(ramp.expand(1, 3, *size))
    back = preprocess.restore(resized[:, :1], size)
    assert back.shape == ramp.shape
    assert (back - ramp).abs().mean() < 0.02


def test_aspect_frames():
    assert frame_size((600, 800), (480, 640), "aspect") == (480, 640)
    height, width = frame_size((300, 900), (480, 640), "aspect")
    assert width / height == pytest.approx(3, rel=0.1)
    assert height * width == pytest.approx(480 * 640, rel=0.1)
    assert frame_size((1, 5000), (480, 640), "aspect") == frame_size((1, 4), (480, 640), "aspect")
    assert frame_size((9, 9), (480, 640), "squash") == (480, 640)


def test_longest_frames():
    assert frame_size((600, 800), (48, 64), "longest") == (48, 64)
    assert frame_size((800, 600), (48, 64), "longest") == (64, 48)
    assert frame_size((5, 7), (48, 64), "longest") == (46, 64)
    assert frame_size((1, 5000), (48, 64), "longest") == (16, 64)


def test_frames_of_the_older_releases():
    assert frame_size((480, 640), (320, 320), "within") == (240, 320)
    assert frame_size((683, 1024), (320, 320), "within") == (213, 320)
    assert frame_size((101, 99), (320, 320), "within") == (101, 99), "never enlarged"
    assert frame_size((2, 2), (320, 320), "within") == (32, 32), "but what a network could not see at all"
    assert frame_size((1, 5000), (320, 320), "within") == (80, 320)
    assert frame_size((384, 512), (384, 512), "between") == (384, 512)
    assert frame_size((1024, 768), (384, 512), "between") == (512, 384)
    assert frame_size((100, 100), (384, 512), "between") == (448, 448)
    assert frame_size((1, 4096), (384, 512), "between") == (256, 1024)


def test_half_a_normalisation_is_refused():
    with pytest.raises(SpecError, match="mean and std"):
        Preprocess(mean=(0.5, 0.5, 0.5))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_bytes_and_floats_are_normalised_alike(order):
    every = (
        torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
        + torch.tensor([0, 80, 160], dtype=torch.uint8)[:, None, None]
    )
    preprocess = Preprocess(channel_order=order).with_statistics(IMAGENET.mean, IMAGENET.std)
    from_bytes = preprocess.normalize(every)
    assert from_bytes.dtype == torch.float32
    assert torch.equal(from_bytes, preprocess.normalize(every.float() / 255))
    wanted = (every.double() / 255 - torch.tensor(IMAGENET.mean)[:, None, None]) / torch.tensor(IMAGENET.std)[
        :, None, None
    ]
    wanted = wanted if order == "rgb" else wanted.flip(1)
    torch.testing.assert_close(from_bytes.double(), wanted, rtol=0, atol=1e-5)
    assert torch.equal(Preprocess().normalize(every), as_float(every)), "without statistics too"


def test_statistics_follow_the_order_of_channels():
    bgr = Preprocess(channel_order="bgr").with_statistics((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert (bgr.mean, bgr.std) == ((0.3, 0.2, 0.1), (3.0, 2.0, 1.0))
    rgb = Preprocess().with_statistics((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert (rgb.mean, rgb.std) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_keep_their_type(dtype):
    image = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    normalised = IMAGENET.normalize(image)
    assert normalised.dtype == dtype
    wanted = IMAGENET.normalize(image.double())
    torch.testing.assert_close(normalised.double(), wanted, rtol=0, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.bool])
def test_other_types_are_refused(dtype):
    image = torch.ones(1, 3, 4, 5).to(dtype)
    for call in (IMAGENET.normalize, IMAGENET.resize, as_float):
        with pytest.raises(ImageError, match=f"uint8 from 0 to 255 or float in .*got {dtype}"):
            call(image)


@pytest.mark.parametrize(
    ("values", "words"), [((0.0, 255.0), "0 to 255:"), ((-2.0, 2.5), "-2 to 2.5"), ((0.0, float("nan")), "nan")]
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_of_another_range_are_refused(values, words, dtype):
    image = torch.tensor(values, dtype=dtype).repeat(6).view(1, 3, 2, 2)
    with pytest.raises(ImageError, match=r"float pixels lie in \[0, 1\]") as error:
        IMAGENET.normalize(image)
    assert words in str(error.value)


def test_floats_just_outside_the_range_pass():
    image = torch.linspace(-0.1, 1.1, 12).view(1, 3, 2, 2).requires_grad_()
    IMAGENET.normalize(image).sum().backward()
    assert torch.allclose(image.grad, (1 / torch.tensor(IMAGENET.std))[:, None, None].expand(1, 3, 2, 2))
    assert IMAGENET.normalize(image[:0]).shape == (0, 3, 2, 2)


def test_normalisation_compiles_whole():
    """The look at the range must not break the graph of a model that a user compiles or exports."""
    image = random_image(4, 5)[None] / 255
    compiled = torch.compile(IMAGENET.normalize, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(image), IMAGENET.normalize(image))
    exported = torch.export.export(Normalize(), (image,)).module()
    torch.testing.assert_close(exported(image), IMAGENET.normalize(image))


class Normalize(torch.nn.Module):
    def forward(self, image):
        return IMAGENET.normalize(image)


def test_nothing_follows_the_default_type(float64_by_default):
    image = random_image(9, 7)
    assert as_float(image).dtype == IMAGENET.resize(image[None]).dtype == torch.float32
    assert IMAGENET(image).dtype == IMAGENET.normalize(image[None]).dtype == torch.float32
    torch.set_default_dtype(torch.float32)
    plain = IMAGENET.resize(image[None]), IMAGENET.normalize(image[None])
    torch.set_default_dtype(torch.float64)
    assert all(map(torch.equal, plain, (IMAGENET.resize(image[None]), IMAGENET.normalize(image[None]))))


@pytest.mark.parametrize("fit", ["squash", "pad", "pad_floor", "aspect", "longest", "within", "between", "cells"])
def test_called_with_any_image(fit, tmp_path):
    preprocess = Preprocess((96, 128), fit=fit)
    pixels = random_image(30, 50)
    array = pixels.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "a.png")
    seen = preprocess(pixels)
    assert seen.dtype == torch.float32
    assert seen.shape == (3, *frame_size((30, 50), (96, 128), fit))
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert torch.equal(seen, preprocess.resize(as_float(pixels)[None])[0])
    for image in (tmp_path / "a.png", Image.fromarray(array), array, pixels / 255):
        assert torch.equal(preprocess(image), seen)
    grey = preprocess(np.full((30, 50), 51, np.uint8))
    assert (grey - 0.2).abs().amin((1, 2)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    with pytest.raises(ImageError, match="no such file"):
        preprocess(tmp_path / "none.png")


@pytest.mark.parametrize("name", ["salgan", "mlnet", "deepgaze2", "signature"])
def test_the_model_takes_it_as_predict_does(name):
    """Own loop: `model(model.transform(image)[None])` and its map at the image's size are what `predict` gives."""
    model = tiny_models.build(name).eval()
    pixels = random_image(30, 50)
    with torch.inference_mode():
        logits = model(model.transform(pixels)[None])
        log_density = model.to_log_density(model.preprocess.restore(logits, (30, 50)))[0]
    np.testing.assert_allclose(log_density.numpy(), model.predict(pixels).log_density, rtol=0, atol=1e-5)
    assert log_density.std() > 0


def test_log_densities_of_huge_maps_sum_to_one():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 4000), torch.linspace(-1, 1, 4000), indexing="ij")
    log_density = salzoo.load("uniform").to_log_density(-3 * (x.abs() + y.abs())[None, None])
    assert log_density.double().exp().sum().item() == pytest.approx(1, abs=1e-4)
