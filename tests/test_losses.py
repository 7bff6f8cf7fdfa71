"""Losses: closed forms, finite differences, the truth as optimum, and maps that break naive formulas."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
import tiny_models
import torch
from torch import Tensor

import salzoo
from salzoo import losses
from salzoo.cli import main
from salzoo.data import SaliencyDataModule
from salzoo.errors import DataError, SpecError

POINTWISE = [name for name in losses.TERMS if not losses.required_inputs(name)[0].endswith("features")]
FEATURES = [name for name in losses.TERMS if name not in POINTWISE]


def logits(seed: int, n: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, 7, generator=generator, dtype=dtype).mul_(2).requires_grad_()


def log_softmax(x: Tensor) -> Tensor:
    return x.flatten(1).log_softmax(1).view_as(x)


def truth(seed: int = 1, n: int = 2) -> dict[str, Tensor]:
    """Return counts, and their density, made strictly positive."""
    generator = torch.Generator().manual_seed(seed)
    fixations = torch.randint(0, 3, (n, 5, 7), generator=generator, dtype=torch.int16)
    density = fixations + torch.rand(n, 5, 7, generator=generator, dtype=torch.float64) + 0.1
    return {"fixations": fixations, "density": density / density.sum((1, 2), keepdim=True)}


def closed_forms(p: Tensor, g: Tensor) -> dict[str, Tensor]:
    """Gradients with respect to the logits of p, of flat densities (n,), derived by hand."""
    s = (g - p).sign()
    b = (p * g).sqrt().sum()
    norm_p, norm_g = p.norm(), g.norm()
    by_p = -g / (norm_p * norm_g) + (p * g).sum() * p / (norm_p**3 * norm_g)  # of 1 - cos, with respect to p
    return {
        "chi_square": p * (g**2 / p).sum() - g**2 / p,
        "total_variation": p * ((s * p).sum() - s) / 2,
        "cosine": p * (by_p - (p * by_p).sum()),
        "bhattacharyya": -((p * g).sqrt() - p * b) / (2 * b),
        "kl": p - g,
    }


@pytest.mark.parametrize("name", ["chi_square", "total_variation", "cosine", "bhattacharyya", "kl"])
def test_gradients_are_the_closed_forms_of_jetley_et_al(name: str) -> None:
    x, g = logits(0, n=1), truth(n=1)["density"]
    losses.TERMS[name](log_softmax(x), g).backward()
    assert x.grad is not None
    expected = closed_forms(x.detach().flatten().softmax(0), g.flatten())[name]
    torch.testing.assert_close(x.grad.flatten(), expected, atol=1e-6, rtol=0)
    assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("name", POINTWISE)
def test_gradients_are_finite_differences(name: str) -> None:
    loss, target = losses.get(name), truth()

    def through_sigmoid(x: Tensor) -> Tensor:
        return loss(log_softmax(x), target, x)

    assert torch.autograd.gradcheck(through_sigmoid, logits(0))
    assert torch.autograd.gradcheck(lambda x: loss(log_softmax(x), target), logits(0))


@pytest.mark.parametrize("name", FEATURES)
def test_gradients_of_feature_losses_are_finite_differences(name: str) -> None:
    other = [logits(seed).detach()[:, None].expand(-1, 3, -1, -1) for seed in (3, 4)]

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return losses.TERMS[name]([a[:, None].expand(-1, 3, -1, -1), b[:, None] * other[0]], other)

    assert torch.autograd.gradcheck(loss, (logits(0), logits(1)))


def test_gradients_of_the_adversarial_pair_are_finite_differences() -> None:
    x = torch.tensor([[0.5], [-1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(losses.adversarial_generator, x)
    assert torch.autograd.gradcheck(losses.adversarial_discriminator, (x, (-2 * x.detach()).requires_grad_()))


def test_the_adversarial_pair_wants_opposite_things() -> None:
    sure = torch.tensor([[8.0]])
    assert losses.adversarial_discriminator(sure, -sure) < 1e-3 < losses.adversarial_discriminator(-sure, sure)
    assert losses.adversarial_generator(sure) < 1e-3 < losses.adversarial_generator(-sure)


ZERO = ("mse", "mae", "huber", "ead", "weighted_mse", "kl", "chi_square", "total_variation", "cosine", "bhattacharyya")


@pytest.mark.parametrize("name", losses.TERMS)
def test_the_truth_is_the_optimum(name: str) -> None:
    """Where all fixations fall on a few pixels alike, the truth is also a map of zeros and ones."""
    fixations = torch.zeros(1, 12, 16, dtype=torch.int16)
    fixations[0, [2, 5, 9], [3, 11, 6]] = 4
    density = fixations / fixations.sum()
    target = {"fixations": fixations, "density": density}
    loss, at_truth = losses.get(name), 30.0 * (2 * (density > 0) - 1.0)
    best = loss(log_softmax(at_truth), target, at_truth)
    generator = torch.Generator().manual_seed(0)
    for scale in (0.3, 1, 3):
        other = at_truth / 10 + scale * torch.randn(at_truth.shape, generator=generator)
        assert loss(log_softmax(other), target, other) > best + 1e-7
    if name in ZERO or name in FEATURES:
        assert abs(best.item()) < 1e-5
    if name in ("cc", "sim"):
        assert best.item() == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", losses.TERMS)
def test_finite_on_maps_that_break_naive_formulas(name: str, autocast: bool) -> None:
    loss = losses.get(name)
    generator = torch.Generator().manual_seed(0)
    spike = torch.full((12, 16), -200.0).index_put((torch.tensor(3), torch.tensor(4)), torch.tensor(200.0))
    x = torch.stack([torch.zeros(12, 16), spike, torch.randn(12, 16, generator=generator), torch.zeros(12, 16)])
    fixations = torch.zeros(4, 24, 32, dtype=torch.int16)
    fixations[0, 3, 3] = fixations[1, 20, 20] = 1  # one fixation: the density is 0 almost everywhere
    fixations[2] = 1  # a constant truth
    density = fixations / fixations.sum((1, 2), keepdim=True).clamp_min(1)  # nobody looked at the last image
    weight = torch.ones((), requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = (x.to(torch.bfloat16 if autocast else torch.float32) * weight)[:, None]
        log_density = log_softmax(y[:, 0]).masked_fill(x < -100, -torch.inf)  # a density with exact zeros
        for logits in (y[:, 0], None):
            value = loss(log_density, {"fixations": fixations, "density": density}, logits)
            (gradient,) = torch.autograd.grad(value, weight, retain_graph=True)
            assert value.dtype == torch.float32
            assert torch.isfinite(value), value
            assert torch.isfinite(gradient), gradient


@pytest.mark.parametrize("name", losses.TERMS)
def test_an_image_that_nobody_looked_at_is_left_out(name: str) -> None:
    loss, target, x = losses.get(name), truth(n=3), logits(0, n=3)
    empty = {key: maps.clone() for key, maps in target.items()}
    for maps in empty.values():
        maps[1] = 0
    kept = [0, 2]
    expected = loss(log_softmax(x[kept]), {key: maps[kept] for key, maps in target.items()}, x[kept])
    torch.testing.assert_close(loss(log_softmax(x), empty, x), expected)
    none = loss(log_softmax(x[1:2]), {key: maps[1:2] for key, maps in empty.items()}, x[1:2])
    none.backward()
    assert none.item() == 0


def test_values_by_hand() -> None:
    p, g = torch.tensor([[[0.2, 0.8]]]), torch.tensor([[[0.5, 0.5]]])
    s, t = torch.tensor([[[0.25, 1.0]]]), torch.tensor([[[0.5, 0.5]]])
    fixations = torch.tensor([[[1, 3]]])
    b = (0.1**0.5) + (0.4**0.5)
    by_hand = {
        losses.kl(p.log(), g): 0.5 * torch.tensor(0.5 / 0.2).log() + 0.5 * torch.tensor(0.5 / 0.8).log(),
        losses.chi_square(p.log(), g): 0.25 / 0.2 + 0.25 / 0.8 - 1,
        losses.total_variation(p.log(), g): 0.3,
        losses.cosine(p.log(), g): 1 - 0.5 / (0.68**0.5 * 0.5**0.5),
        losses.bhattacharyya(p.log(), g): -torch.tensor(b).log(),
        losses.bhattacharyya(p.log(), g, alpha=1.0): 0.0,
        losses.sim(p.log(), g): 0.7,
        losses.cc(p.log(), torch.tensor([[[0.4, 0.6]]])): 1.0,
        losses.cc(p.log(), torch.tensor([[[0.6, 0.4]]])): -1.0,
        losses.nll(p.log(), fixations): -(torch.tensor(0.2).log() + 3 * torch.tensor(0.8).log()) / 4,
        losses.nss(p.log(), fixations): 0.5,
        losses.exp_nss(p.log(), fixations): torch.tensor(-0.5).exp(),
        losses.mse(s, t): (0.0625 + 0.25) / 2,
        losses.mae(s, t): 0.375,
        losses.huber(s, t): (0.0625 + 0.25) / 4,
        losses.ead(s, t): (torch.tensor(0.25).exp() + torch.tensor(0.5).exp()) / 2 - 1,
        losses.weighted_mse(s, t): (0.0625 + 0.25) / 0.6 / 2,
        losses.bce(torch.zeros(1, 1, 2), t): torch.tensor(2.0).log(),
        losses.weighted_bce(torch.zeros(1, 1, 2), t / 2): torch.tensor(2.0).log() * (0.75 * 0.25 + 0.25 * 0.75),
        losses.focal(torch.zeros(1, 1, 2), t): torch.tensor(2.0).log() / 8,
    }
    for value, expected in by_hand.items():
        assert value.item() == pytest.approx(float(expected), abs=1e-5)


def test_a_combination_is_the_sum_that_the_papers_print() -> None:
    x, target = logits(0), truth()
    p = log_softmax(x)
    expected = (
        losses.kl(p, target["density"])
        - 0.5 * losses.cc(p, target["density"])
        - 0.1 * losses.nss(p, target["fixations"])
    )
    weights: losses.LossSpec = {"kl": 1.0, "cc": -0.5, "nss": -0.1}
    torch.testing.assert_close(losses.get(weights)(p, target), expected)
    torch.testing.assert_close(losses.get("{kl: 1.0, cc: -0.5, nss: -0.1}")(p, target), expected)
    torch.testing.assert_close(losses.get("nss")(p, target["fixations"]), -losses.nss(p, target["fixations"]))
    assert losses.get("sam").weights == {"kl": 10, "cc": -2, "nss": -1}


@pytest.mark.parametrize("name", losses.COMBINATIONS)
def test_descending_a_published_combination_makes_the_map_more_alike(name: str) -> None:
    x, target, loss = logits(0), truth(), losses.get(name)
    before = log_softmax(x).detach()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        loss(log_softmax(x), target, x).backward()
        optimizer.step()
    assert losses.cc(log_softmax(x), target["density"]) > losses.cc(before, target["density"]) + 0.1


def test_the_truth_is_brought_to_the_size_of_the_prediction() -> None:
    fixations = torch.zeros(1, 10, 14, dtype=torch.int16)
    fixations[0, [0, 1, 9], [0, 1, 13]] = torch.tensor([1, 2, 3], dtype=torch.int16)
    density = fixations / 6
    inputs = losses.LossInputs(log_softmax(logits(0, n=1)), {"fixations": fixations, "density": density}, None)
    assert inputs.fixations.sum() == 6
    assert inputs.fixations[0, 0, 0] == inputs.fixations[0, 4, 6] == 3
    torch.testing.assert_close(inputs.density.float(), inputs.fixations / 6)


def test_without_logits_the_map_is_the_density_scaled() -> None:
    p = log_softmax(logits(0))
    inputs = losses.LossInputs(p, truth(), None)
    expected = p.exp() / p.exp().amax((1, 2), keepdim=True)
    torch.testing.assert_close(inputs.saliency, expected, atol=1e-3, rtol=2e-3)


def test_learned_weights_settle_where_each_term_counts_alike() -> None:
    """exp(-s) D + s is lowest at s = ln D: what counts is 1."""
    loss, p, target = losses.get({"kl": "learned", "cc": "learned"}), log_softmax(logits(0)).detach(), truth()
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss(p, target).backward()
        optimizer.step()
    for name, distance in (("kl", losses.kl(p, target["density"])), ("cc", 1 - losses.cc(p, target["density"]))):
        assert loss.log_variances[name].exp().item() == pytest.approx(distance.item(), rel=1e-2)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("kld", "no loss is called 'kld'; near: kl"),
        ({"cc": 0.5}, r"cc: weight 0.5 .* below 0, as a higher value is better"),
        ({"kl": -1.0}, r"kl: weight -1.0 .* above 0"),
        ({"sam": 1.0}, "no loss is called 'sam'.*combinations, each by itself"),
        ({"nss": "learned"}, "cannot be learned"),
        ({}, "at least one term"),
    ],
)
def test_a_wrong_loss_is_told(spec: losses.LossSpec, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        losses.get(spec)


def test_wrong_truths_are_told() -> None:
    p, target = log_softmax(logits(0)), truth()
    unknown = torch.full_like(target["fixations"], -1)
    with pytest.raises(DataError, match="needs fixation points"):
        losses.get("nss")(p, {**target, "fixations": unknown})
    torch.testing.assert_close(
        losses.get("kl")(p, {**target, "fixations": unknown}), losses.kl(p, target["density"])
    )  # maps are enough for a loss on densities
    with pytest.raises(DataError, match="need density and fixations"):
        losses.get("sam")(p, target["density"])
    with pytest.raises(DataError, match="need fixations; the batch has"):
        losses.get("nll")(p, {"density": target["density"]})
    with pytest.raises(DataError, match="logarithm of a map"):
        losses.nss(p.exp(), target["fixations"])


@pytest.mark.parametrize("name", [name for name in losses.TERMS if name not in ("deep_features", "gram")])
def test_maps_of_two_sizes_are_told(name: str) -> None:
    """The old code broadcast what could be: (2, 1, 4, 6) and (2, 4, 6) gave a number."""
    function, one = losses.TERMS[name], torch.rand(2, 4, 6).log_softmax(-1)
    truth = torch.ones(2, 4, 6, dtype=torch.int16) if name in ("nll", "nss", "exp_nss") else torch.rand(2, 4, 6)
    assert torch.isfinite(function(one, truth))
    first, second = list(inspect.signature(function).parameters)[:2]
    for shape in ((2, 1, 4, 6), (2, 2, 3), (1, 4, 6)):
        other = one[:1] if shape[0] == 1 else one[:, : shape[1], : shape[2]] if len(shape) == 3 else one[:, None]
        words = re.escape(f"losses.{name}: {first} is {shape} and {second} is (2, 4, 6)")
        with pytest.raises(DataError, match=words):
            function(**{first: other, second: truth})


def test_one_half_precision_value_is_the_float_one() -> None:
    x, target = logits(0, dtype=torch.float32), truth()
    loss = losses.get("sum")
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(log_softmax(x.bfloat16()), target, x.bfloat16())
    assert half.item() == pytest.approx(loss(log_softmax(x), target, x).item(), rel=0.02)


@pytest.mark.parametrize("name", ["deepgaze2", "salgan"])
def test_a_loss_chosen_on_the_command_line_trains_and_is_recorded(name: str, tiny_data: Path, tmp_path: Path) -> None:
    words = [*tiny_models.fit_words(name, tiny_data, tmp_path), "--training.loss", "{kl: 1.0, cc: -0.5, nss: learned}"]
    assert main(words) == 2  # the weight of nss cannot be learned
    words[-1] = "{kl: 1.0, cc: -0.5, exp_nss: learned}"
    assert main(words) == 0
    folder = next(tmp_path.glob(f"{name}.*"))
    recorded = json.loads((folder / "config.json").read_text())["provenance"]["recipe"]["training"]["loss"]
    assert recorded == {"kl": 1.0, "cc": -0.5, "exp_nss": "learned"}
    assert salzoo.load(folder).criterion is not None


@pytest.mark.parametrize("name", tiny_models.GRADIENT)
def test_any_model_is_trained_with_a_loss_of_every_space(name: str, tiny_data: Path) -> None:
    model = tiny_models.build(name, loss={"kl": 1.0, "nss": -0.1, "mse": 1.0, "bce": 1.0})
    data = SaliencyDataModule("osie", tiny_data, batch_size=4, size=model.preprocess.size)
    batch = next(iter(data.train_dataloader()))
    optimizer = torch.optim.AdamW([p for p in model.network.parameters() if p.requires_grad], lr=1e-2)
    values = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = model.loss(model(batch["image"]), batch)  # type: ignore[arg-type,index]
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert min(values[-3:]) < values[0], values


@pytest.mark.parametrize("name", ["unisal", "sam", "cc", "nss"])
def test_a_network_that_starts_flat_learns_at_once(name: str) -> None:
    """The gradient at a constant map stays in Adam's second moment for a thousand steps."""
    density = log_softmax(logits(0, dtype=torch.float32).detach()).exp()
    batch = {"density": density, "fixations": (100 * density).round().long()}
    x = torch.zeros_like(density, requires_grad=True)
    adam = torch.optim.Adam([x], lr=0.1)
    for _ in range(100):
        adam.zero_grad()
        losses.get(name)(log_softmax(x), batch).backward()
        adam.step()
    assert losses.get("cc")(log_softmax(x), batch) < -0.95
