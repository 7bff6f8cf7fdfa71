"""Models that remember: drawn clips of which one item differs, still and panning ones, and the formulas by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import scripts
import torch
from torch.distributions import Gamma, kl_divergence

import salzoo
from salzoo.components import filters
from salzoo.components.conspicuity import changed_shares, contrasts_of_shares, features, reichardt
from salzoo.components.flow import dominant_motion, local_motion
from salzoo.components.video_model import VideoModel
from salzoo.models.itti import grey_and_stripes
from salzoo.models.surprise import surprise
from salzoo.video.samples import drawn_clip

motion = scripts.load("benchmarks/motion.py")
MODELS = ("itti.motion", "gbvs.motion", "surprise", "lemeur_motion")
PANNING = {"itti.motion": 0.9, "gbvs.motion": 0.9, "surprise": 0.5, "lemeur_motion": 0.7}
"""Least correlation with the image's own map under a camera that pans: a model that changes nothing has 1."""
every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_the_odd_one_is_found(name: str) -> None:
    model = salzoo.load(name)
    frames = 12 if name == "surprise" else 3
    assert motion.found(model, "moving", 3, frames)
    assert motion.found(model, "static", 3, frames)


@pytest.mark.slow
@every_model
def test_the_odd_one_is_found_in_nine_of_ten_clips(name: str) -> None:
    model = salzoo.load(name)
    for kind in ("moving", "static"):
        assert sum(motion.found(model, kind, seed, 12) for seed in range(20)) >= 18


@every_model
def test_a_clip_that_stands_still_is_its_image(name: str) -> None:
    assert motion.still(salzoo.load(name), frames=3) < 1e-3


@every_model
def test_a_panning_camera_does_not_light_up_everything(name: str) -> None:
    correlation, bright, image = motion.panning(salzoo.load(name), frames=3)
    assert correlation > PANNING[name]
    assert bright < max(0.1, image + 0.02)


@every_model
def test_pieces_are_the_whole(name: str) -> None:
    model, clip = salzoo.load(name), drawn_clip("moving", 0, frames=4).frames[:, ::2, ::2]
    assert isinstance(model, VideoModel)
    whole = list(model.predict_video(clip, smooth="average:0.2"))
    tail = list(model.predict_video(clip[2:], smooth="average:0.2", state=whole[1].state))
    for one, other in zip(whole[2:], tail, strict=True):
        np.testing.assert_array_equal(one.saliency_map.density, other.saliency_map.density)
    assert np.abs(whole[3].saliency_map.density - model.predict(clip[3]).density).max() > 1e-6  # it did remember


def test_a_detector_answers_to_its_own_axis() -> None:
    bar = torch.zeros(1, 1, 21, 21)
    bar[..., 10, :] = 1
    down = reichardt(*(bar.roll(shift, 2).expand(-1, 4, -1, -1) for shift in (1, 0))).sum((0, 2, 3))
    up = reichardt(*(bar.roll(shift, 2).expand(-1, 4, -1, -1) for shift in (0, 1))).sum((0, 2, 3))
    assert down[2] > 0
    assert down[0] == 0
    torch.testing.assert_close(up, down)
    assert reichardt(*[bar.expand(-1, 4, -1, -1)] * 2)[:, 0].abs().max() == 0


def drawn(left: int, top: int) -> torch.Tensor:
    """Return intensity and responses to stripes of a bright square on plain ground, (1, 5, 60, 80)."""
    grey = torch.full((1, 1, 60, 80), 0.4)
    grey[..., top : top + 6, left : left + 6] = 0.9
    return torch.cat([grey, filters.gabor_energy(grey)], dim=1)


def test_a_share_of_change_is_of_what_is_visible() -> None:
    still, moved = changed_shares(drawn(20, 20), drawn(20, 20)), changed_shares(drawn(24, 20), drawn(20, 20))
    assert still.abs().max() == 0
    assert 0 <= float(moved.min()) < float(moved.max()) <= 1
    flicker = moved[0, 0]
    torch.testing.assert_close(
        flicker[50, 70], flicker[23, 25], atol=0.1, rtol=0
    )  # plain ground has that of its surround
    assert moved[0, 1].max() > 0.3 > 1e-3 > moved[0, 3].max(), "it moved to the right, not down"
    fainter = changed_shares(drawn(24, 20) / 3, drawn(20, 20) / 3)
    torch.testing.assert_close(fainter, moved, atol=5e-3, rtol=0)  # a share, whatever the contrast


@pytest.mark.parametrize("kind", ["moving", "static"])
def test_what_stands_still_among_what_moves_differs_as_the_reverse(kind: Literal["moving", "static"]) -> None:
    clip = drawn_clip(kind, 101, frames=2)
    both = [torch.from_numpy(frame).permute(2, 0, 1)[None] / 255 for frame in clip.frames]
    before, now = (grey_and_stripes(features(frame, [(4, 7)])[4]) for frame in both)
    contrast = contrasts_of_shares({4: changed_shares(now, before)}, [(4, 7)])[0, 0, 0]
    y, x = divmod(int(contrast.argmax()), contrast.shape[1])
    assert np.hypot(*(16 * np.array([x + 0.5, y + 0.5]) - clip.places[1])) < 45
    assert contrast.max() > 0.3


class TestFlow:
    TEXTURE = torch.nn.functional.interpolate(
        torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(0)), (96, 128), mode="bicubic"
    )

    def shifted(self, x: float, y: float) -> torch.Tensor:
        """Move the texture through the frequency domain, which is exact for parts of a pixel."""
        height, width = self.TEXTURE.shape[-2:]
        u, v = torch.fft.fftfreq(width), torch.fft.fftfreq(height)[:, None]
        wave = torch.exp(-2j * torch.pi * (u * x + v * y))
        return torch.fft.ifft2(torch.fft.fft2(self.TEXTURE) * wave).real

    @pytest.mark.parametrize(("x", "y"), [(0.3, -0.6), (2.0, 1.0), (-5.5, 3.0)])
    def test_local_motion_of_a_texture(self, x: float, y: float) -> None:
        flow, confidence = local_motion(self.shifted(x, y), self.TEXTURE)
        inside = flow[0, :, 16:-16, 16:-16]
        torch.testing.assert_close(inside.mean((1, 2)), torch.tensor([x, y]), atol=0.05, rtol=0.03)
        assert confidence[..., 16:-16, 16:-16].mean() > 0.9

    def test_plain_ground_has_no_motion(self) -> None:
        flow, confidence = local_motion(torch.full((1, 1, 96, 128), 0.5), torch.full((1, 1, 96, 128), 0.5))
        assert flow.abs().max() == confidence.max() == 0

    def test_dominant_motion_is_affine_and_robust(self) -> None:
        y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 64), indexing="ij")
        camera = torch.stack([2 + 0.5 * x - 0.2 * y, -1 + 0.3 * y])[None]
        flow = camera.clone()
        flow[..., 5:25, 10:40] += 6  # a fifth of the frame moves by itself
        found = dominant_motion(flow, torch.ones(1, 1, 48, 64))
        torch.testing.assert_close(found, camera, atol=0.02, rtol=0)


class TestSurprise:
    def test_divergence(self) -> None:
        after, before = torch.tensor([3.0, 40.0, 7.0]), torch.tensor([5.0, 12.0, 7.0])
        expected = kl_divergence(Gamma(after.double(), 1 / 0.3), Gamma(before.double(), 1 / 0.3))
        torch.testing.assert_close(surprise(after, before).double(), expected, atol=1e-4, rtol=1e-4)

    def test_a_step_surprises_and_is_forgotten(self) -> None:
        network = salzoo.load("surprise").network
        dark, light = torch.full((1, 3, 240, 320), 0.3), torch.full((1, 3, 240, 320), 0.3)
        light[..., 100:140, 140:180] = 0.9
        state, seen = None, []
        for image in (dark, dark, light, light, light, light, *[light] * 40):
            (_, now), before = network.step(image, state), state
            if before is not None:
                seen.append(float(surprise(now[0], before[0]).sum()))
            state = now
        assert seen[0] == 0
        assert seen[1] > 10 * seen[-1]
        assert seen[-1] < 1e-2 * max(seen)
