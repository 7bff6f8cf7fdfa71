"""SalGAN (Pan, Canton Ferrer, McGuinness, O'Connor, Torres, Sayrol & Giro-i-Nieto, 2017; arXiv:1701.01081).

Differences from the paper:
- Where paper and released code differ, this is the released code: the discriminator's first pooling is 4 x 4, no weight
  decay. Its two weight-normalised layers are plain convolutions here, and it sees pixels in [0, 1], not 0 to 255.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets instead of BGR minus the Caffe mean.
- One run holds both stages: `bootstrap_epochs` of cross-entropy, then the adversarial game.
- The lite variant decodes EfficientNet-Lite0 (stride 16, its last stage dilated) with a narrower decoder, which stops
  at stride 4: the loss averages over 4 x 4 pixels anyway. Both of its stages use AdamW; AdaGrad and plain SGD would
  need the 120 epochs over 10,000 images of the paper. Its second stage is short, so the discriminator learns ten times
  as fast as the generator (Heusel et al., NIPS 2017), and the content loss weighs 1 instead of 0.05: with less, maps
  lost more than they gained.
- The lite variant is trained on images of 288 x 384 and predicts at 384 x 512, where small objects count for more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._precision import full_precision
from salzoo.components.mirrored import SalGANNetwork
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.data.statistics import column
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class Discriminator(nn.Module):
    """Tells true maps from generated ones, given the image (Sec. 3.2; sizes of the released code).

    Shape: map (N, 1, H, W) in [0, 1] and image (N, 3, H, W) in [0, 1] to (N, 1) logits.

    Args:
        size: (height, width), both divisible by 16.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        convolutions: list[nn.Module] = [nn.Conv2d(4, 3, 1), nn.ReLU(), nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
        for channels, pool in ((32, 4), (64, 2)):
            convolutions += [nn.MaxPool2d(pool), nn.Conv2d(channels, 64, 3, padding=1), nn.ReLU()]
            convolutions += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten())
        self.size = size
        flat = size[0] // 16 * (size[1] // 16) * 64
        self.head = nn.Sequential(nn.Linear(flat, 100), nn.Tanh(), nn.Linear(100, 2), nn.Tanh(), nn.Linear(2, 1))
        for module in self.modules():  # Lasagne's start; from PyTorch's, the signal fades and nothing is ever learned
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(cast("Tensor", module.bias))

    def forward(self, saliency: Tensor, image: Tensor) -> Tensor:
        """Return the logits that the maps are true ones, in full precision: they differ by little."""
        with full_precision(image.device):
            logits: Tensor = self.head(self.features(torch.cat([saliency.to(image), image], dim=1)))
        return logits


@dataclass(frozen=True)
class SalGANTraining(TrainingConfig):
    """Training of SalGAN in two stages; `sgd` is SGD with momentum 0.5, then AdaGrad (Sec. 4 and code).

    Args:
        lr: Learning rate of the first stage.
        bootstrap_epochs: Epochs of cross-entropy alone before the adversarial game (Sec. 4: 15).
        discriminator_epochs: Last epochs of the first stage in which the discriminator learns already, without being
            played against; none in the paper.
        content_weight: Alpha of Eq. 4, the weight of the content loss in the game (0.05; the code: 1/20).
        adversarial_lr: Learning rate of the generator in the second stage (3e-4).
        discriminator_lr: That of the discriminator; None for `adversarial_lr`, as in the paper.
        training_size: (height, width) of the training images, if it is not `preprocess.size`: the discriminator's
            fully connected layer takes no other. The data module needs it as well (`--data.size`).
    """

    optimizer: Literal["adamw", "sgd"] = "sgd"
    bootstrap_epochs: int = 15
    discriminator_epochs: int = 0
    content_weight: float = 0.05
    adversarial_lr: float = 3e-4
    discriminator_lr: float | None = None
    training_size: tuple[int, int] | None = None


class SalGAN(SaliencyModel):
    """SalGAN: cross-entropy on 4x down-sampled maps, then the same against a discriminator.

    Its arguments are those of `SalGANNetwork`; the paper's size is 192 x 256.
    """

    network: SalGANNetwork
    network_class = SalGANNetwork
    training_config: SalGANTraining
    training_class = SalGANTraining
    discriminator: Discriminator
    default_preprocess = Preprocess((192, 256))
    sigmoid = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.automatic_optimization = False  # two networks take turns

    def configure_model(self) -> None:
        """Make the discriminator, which only training needs."""
        height, width = self.training_config.training_size or self.preprocess.size
        size = (height // self.network.stride, width // self.network.stride)
        if not hasattr(self, "discriminator") or self.discriminator.size != size:
            self.discriminator = Discriminator(size).to(self.device)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, the released 5x5 Gaussian, then the map divided by its sum."""
        blurred = gaussian_blur(logits.sigmoid(), (5, 5), 1.1, "replicate")
        return normalise_log(blurred.clamp_min(1e-12).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy on maps averaged over 4x4 pixels of the input (Eq. 2, Sec. 4.1)."""
        return losses.bce(logits[:, 0], self._target(batch), pool=max(4 // self.network.stride, 1))

    def _target(self, batch: Batch) -> Tensor:
        """Return the true map (N, h, w), scaled to a maximum of 1, at the resolution of the decoder."""
        pooled = F.avg_pool2d(batch["density"], self.network.stride)
        return pooled / pooled.amax((-2, -1), keepdim=True).clamp_min(1e-20)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the first stage, or the discriminator's or the generator's turn in the second."""
        bootstrap, discriminator, generator = cast("list[Any]", self.optimizers())
        config, image = self.training_config, as_float(column(batch, "image"))
        small, truth = F.avg_pool2d(image, self.network.stride), self._target(batch)[:, None]
        turn = batch_idx // config.accumulate % 2
        left = config.bootstrap_epochs - self.current_epoch
        if left > config.discriminator_epochs:
            name, loss = "bootstrap", self.loss(self(image), batch)
            if self._step(loss, batch_idx, bootstrap, idle=self.discriminator):
                self._schedule()
        elif left > 0:
            logits = self(image)
            name, loss = "bootstrap", self.loss(logits, batch)
            told = self._told(truth, logits.detach().sigmoid(), small)
            if self._step(loss + told, batch_idx, bootstrap, discriminator):
                self._schedule()
        elif turn == 0:
            with torch.no_grad():
                generated = self(image).sigmoid()
            name, loss = "discriminator", self._told(truth, generated, small)
            self._step(loss, batch_idx, discriminator, idle=self.network)
        else:
            logits = self(image)
            fooled = losses.adversarial_generator(self.discriminator(logits.sigmoid(), small))
            name, loss = "generator", config.content_weight * self.loss(logits, batch) + fooled  # Eq. 4
            self._step(loss, batch_idx, generator)
        self.log(f"train/{name}_loss", loss, batch_size=len(image), prog_bar=True)

    def _told(self, truth: Tensor, generated: Tensor, image: Tensor) -> Tensor:
        """Return the discriminator's loss."""
        return losses.adversarial_discriminator(self.discriminator(truth, image), self.discriminator(generated, image))

    def configure_optimizers(self) -> Any:
        """Three optimisers: the first stage's, the discriminator's and the generator's."""
        config = self.training_config
        criterion = [] if self.criterion is None else list(self.criterion.parameters())
        generator = [*(p for p in self.network.parameters() if p.requires_grad), *criterion]
        discriminator = list(self.discriminator.parameters())
        discriminator_lr = config.discriminator_lr or config.adversarial_lr
        if config.optimizer == "sgd":
            return [
                torch.optim.SGD(generator, lr=config.lr, momentum=0.5, nesterov=True),
                torch.optim.Adagrad(discriminator, lr=discriminator_lr),
                torch.optim.Adagrad(generator, lr=config.adversarial_lr),
            ]
        first = torch.optim.AdamW(generator, lr=config.lr, weight_decay=1e-2)
        epochs = max(self.trainer.max_epochs or 1, 1)
        batches = int(self.trainer.estimated_stepping_batches) // epochs
        steps = math.ceil(batches / config.accumulate) * min(config.bootstrap_epochs, epochs)
        schedule = torch.optim.lr_scheduler.OneCycleLR(first, config.lr, total_steps=max(steps, 1) + 1)
        rest = [
            torch.optim.AdamW(discriminator, lr=discriminator_lr),
            torch.optim.AdamW(generator, lr=config.adversarial_lr),
        ]
        return [first, *rest], [schedule]

    def _step(self, loss: Tensor, batch_idx: int, *optimizers: Any, idle: nn.Module | None = None) -> bool:
        """Add the gradient, and return whether it was the last of `accumulate`, after which the optimisers step.

        On several devices the parameters of the idle network need a gradient too, of zero.
        """
        accumulate = self.training_config.accumulate
        if idle is not None:
            loss = loss + 0 * sum(p.sum() for p in idle.parameters() if p.requires_grad)
        if batch_idx % accumulate == 0:
            for optimizer in optimizers:
                optimizer.zero_grad()
        self.manual_backward(loss / accumulate)
        last: bool = (batch_idx + 1) % accumulate == 0 or self.trainer.is_last_batch
        for optimizer in optimizers if last else ():
            optimizer.step()
        return last

    def _schedule(self) -> None:
        if self.training_config.optimizer == "adamw":
            cast("Any", self.lr_schedulers()).step()
