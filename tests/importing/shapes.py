"""Names and shapes of state dicts that several of the authors' files have in common."""

from __future__ import annotations

from collections.abc import Sequence

Shapes = dict[str, tuple[int, ...]]


def resnet50(stem: str, stem_norm: str, stages: Sequence[str]) -> Shapes:
    """Return the tensors of torchvision's ResNet-50 without its classifier.

    Args:
        stem: What the authors call the first convolution, its norm, and the four stages.
        stem_norm: See `stem`.
        stages: See `stem`.
    """
    shapes: Shapes = {f"{stem}.weight": (64, 3, 7, 7), **batch_norm(stem_norm, 64)}
    before = 64
    for stage, (blocks, width) in zip(stages, ((3, 64), (4, 128), (6, 256), (3, 512)), strict=True):
        for i in range(blocks):
            name, after = f"{stage}.{i}", 4 * width
            kernels = ((width, before, 1, 1), (width, width, 3, 3), (after, width, 1, 1))
            for k, kernel in enumerate(kernels, start=1):
                shapes |= {f"{name}.conv{k}.weight": kernel, **batch_norm(f"{name}.bn{k}", kernel[0])}
            if i == 0:
                shapes |= {
                    f"{name}.downsample.0.weight": (after, before, 1, 1),
                    **batch_norm(f"{name}.downsample.1", after),
                }
            before = after
    return shapes


def batch_norm(name: str, channels: int) -> Shapes:
    """Return the tensors of a batch norm."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in parts}, f"{name}.num_batches_tracked": ()}
