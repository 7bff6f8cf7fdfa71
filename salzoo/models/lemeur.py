"""Coherent computational approach (Le Meur, Le Callet, Barba and Thoreau, TPAMI 2006): what is visible, in one unit.

Every feature is measured by what a person can just see, so that luminance and colours can be added without weights:
opponent colours; contrast sensitivity; a decomposition into bands of frequency and orientation; masking; reinforcement
of luminance by colour; centre-surround; facilitation along contours; the sum of all bands.

A reconstruction from published descriptions: we had the abstract and descriptions by others, not the authors' program,
and no map was compared with theirs.
- From descriptions: Krauskopf's axes A = L + M, Cr1 = L - M and Cr2 = S - (L + M) / 2; the sensitivity to A of Daly's
  Visible Differences Predictor (1993), anisotropic, and those to Cr1 and Cr2, low-pass with cut-offs of 5.5 and 4.1
  cycles a degree; the bands (A: up to 1.5 cycles a degree, to 5.7 in four orientations and to 14.2 in six; colours: the
  first two); Daly's masking, each band by itself; A multiplied by 1 + |Cr1| + |Cr2| of the lowest band; a difference of
  Gaussians whose negative part is cut off; lobes along the preferred direction; a plain sum.
- As we remember them, not checked: the slopes, peaks and anisotropies of the two colour sensitivities.
- Guessed: contrast is relative to the image's mean luminance; an sRGB display of 100 candela a square metre at
  `pixels_per_degree`, adapted to by its mean; Daly's mesa and fan windows; slope 0.7 of masking in every band, no
  masking between bands; deviations of the difference of Gaussians and of the lobes; facilitation by the weaker of
  both lobes; centre-surround and facilitation on magnitudes at a quarter of the size; the last Gaussian; a
  periodic continuation of the image. Deviations were varied on images of OSIE's validation split, to little effect.
- Left out: the achromatic band from 14.2 to 28.2 cycles a degree, finer than images of this size have, and the lowest
  bands as features of their own.
"""

from __future__ import annotations

from salzoo.components.coherent import LeMeurNetwork
from salzoo.components.training_free import TrainingFreeModel
from salzoo.images.preprocess import Preprocess


class LeMeur(TrainingFreeModel):
    """The coherent computational approach, at 640 pixels on the longer side; arguments as `LeMeurNetwork`."""

    network: LeMeurNetwork
    network_class = LeMeurNetwork
    default_preprocess = Preprocess((480, 640), "longest")
    no_graph = "it filters in the frequency domain, for which ONNX runtimes have no two-dimensional transform"
