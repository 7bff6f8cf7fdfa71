"""Pure functions of all saliency metrics, which return one float64 score an image.

They take predictions (N, H, W), and the ground truth that the metric is defined on: integer fixation counts for the
AUCs, NSS and information gain, a density for CC, SIM, KL and EMD. All of them may be tensors, arrays or lists of maps
(H, W) of one size, `SaliencyMap` among them.
"""

from salzoo.metrics._auc import auc_borji, auc_judd, shuffled_auc
from salzoo.metrics._density import cc, kl_div, sim
from salzoo.metrics._fixated import info_gain, nss
from salzoo.metrics.emd import emd

__all__ = ["auc_borji", "auc_judd", "cc", "emd", "info_gain", "kl_div", "nss", "shuffled_auc", "sim"]
