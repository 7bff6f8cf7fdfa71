"""The base of every model: Lightning's module, or torch's alone in a process that is a command that only predicts.

Lightning brings its trainer, torchmetrics, and where they are installed matplotlib and `scipy.signal`: a fifth of the
time to the first map. `salzoo predict` says before the first import of a model that it needs none of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch
from torch import nn

from salzoo import _process

if TYPE_CHECKING or not _process.only_predicts or "lightning.pytorch" in sys.modules:
    from lightning.pytorch import LightningModule
else:

    class LightningModule(nn.Module):
        """What predicting needs of Lightning's module."""

        _trainer = None

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("_placed", torch.empty(0), persistent=False)

        @property
        def device(self) -> torch.device:
            """Where the model lies, also one without weights."""
            return self._placed.device


__all__ = ["LightningModule"]
