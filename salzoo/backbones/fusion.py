"""Batch norms and activations folded into the convolutions before them: the same maps, sooner."""

from __future__ import annotations

import copy
from collections import Counter

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(trunk: nn.Module, *, one_call: bool = True) -> nn.Module:
    """Return a copy of a backbone in eval mode whose batch norms are folded into the convolutions before them.

    Its maps are the same up to rounding, with one pass over memory less; on a CPU two, as activations are fused too.
    A backbone that torch.fx did not trace is returned as it is.

    Args:
        trunk: The backbone.
        one_call: Whether a convolution and its activation become one call of oneDNN, which no other runtime has.
    """
    if not isinstance(trunk, fx.GraphModule):
        return trunk
    with torch.inference_mode(False), torch.no_grad():
        folded = copy.deepcopy(trunk).eval()
        modules = dict(folded.named_modules())
        calls = Counter(node.target for node in folded.graph.nodes)
        for node in folded.graph.nodes:
            norm, before = modules.get(str(node.target)), node.args[0] if node.args else None
            if not (isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats and isinstance(before, fx.Node)):
                continue
            convolution = modules.get(str(before.target))
            once = len(before.users) == calls[before.target] == calls[node.target] == 1  # no node is before the norm
            if isinstance(convolution, nn.Conv2d) and once:
                activation, one = getattr(norm, "act", nn.Identity()), fuse_conv_bn_eval(convolution, norm)
                fused = one_call and _fusable(one, activation)
                folded.set_submodule(str(before.target), FusedConvolution(one, activation) if fused else one)
                folded.set_submodule(str(node.target), nn.Identity() if fused else activation)
        return folded.to(memory_format=torch.channels_last)


FUSED: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""Activations by the names and parameters that oneDNN has for them."""


class FusedConvolution(nn.Module):
    """A convolution and its activation in one call of oneDNN, as torch.compile makes it; elsewhere one after the other.

    Also faster without an activation, as torch itself does not run 1x1 convolutions of small batches on oneDNN with one
    thread. At stride 2 TensorFlow pads even sides by one pixel more at the end than at the start; a kernel that begins
    with zeros under equal padding gives the same, without a copy of the map.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.convolution, self.activation = convolution, activation
        self.even_only = isinstance(convolution, Conv2dSame)
        self.weight, self.bias, padding = convolution.weight, convolution.bias, convolution.padding
        if self.even_only:
            self.weight = nn.Parameter(F.pad(convolution.weight, (1, 0, 1, 0)), requires_grad=False)
            padding = tuple(side // 2 for side in convolution.kernel_size)
        options = padding, convolution.stride, convolution.dilation, convolution.groups
        self.options = (*options, *FUSED[type(activation)], "")

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        elsewhere = maps.device.type != "cpu" or maps.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if elsewhere or (self.even_only and any(side % 2 for side in maps.shape[-2:])):
            plain: Tensor = self.activation(self.convolution(maps))
            return plain
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(maps, self.weight, self.bias, *self.options)
        return fused


def _fusable(convolution: nn.Module, activation: nn.Module) -> bool:
    """Return whether oneDNN is available and takes the two; subclasses may compute something else."""
    if not torch.backends.mkldnn.is_available() or type(activation) not in FUSED:  # type: ignore[no-untyped-call]
        return False
    if type(convolution) is Conv2dSame:
        odd = all(side % 2 and side > 1 for side in convolution.kernel_size)
        return odd and convolution.stride == (2, 2) and convolution.dilation == (1, 1)
    plain = type(convolution) is nn.Conv2d and convolution.padding_mode == "zeros"
    return plain and not isinstance(convolution.padding, str)
