"""Models that remember: drawn clips of which one item differs, still and panning ones, and the formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scripts
import torch
from torch.distributions import Gamma, kl_divergence

import salzoo
from salzoo.components.conspicuity import reichardt
from salzoo.components.flow import dominant_motion, local_motion
from salzoo.components.video_model import VideoModel
from salzoo.models.surprise import surprise
from salzoo.video.samples import drawn_clip

motion = scripts.load("benchmarks/motion.py")
MODELS = ("itti.motion", "gbvs.motion", "surprise", "lemeur_motion")
BOTH = ("surprise", "lemeur_motion")
"""Those that find what stands still among what moves, too; energies of motion do not: see the cards."""
every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_the_odd_one_is_found(name: str) -> None:
    model = salzoo.load(name)
    frames = 12 if name == "surprise" else 3
    assert motion.found(model, "moving", 3, frames)
    assert motion.found(model, "static", 3, frames) == (name in BOTH)


@pytest.mark.slow
@every_model
def test_the_odd_one_is_found_in_nine_of_ten_clips(name: str) -> None:
    model = salzoo.load(name)
    for kind in ("moving", "static") if name in BOTH else ("moving",):
        assert sum(motion.found(model, kind, seed, 12) for seed in range(20)) >= 18


@every_model
def test_a_clip_that_stands_still_is_its_image(name: str) -> None:
    assert motion.still(salzoo.load(name), frames=3) < 1e-3


@every_model
def test_a_panning_camera_does_not_light_up_everything(name: str) -> None:
    correlation, bright, _ = motion.panning(salzoo.load(name), frames=3)
    assert correlation > 0.5
    assert bright < 0.5


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
