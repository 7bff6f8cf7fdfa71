"""Test-time augmentation: which views of an image a model may be asked to average."""

from __future__ import annotations

from salzoo._schema import shown
from salzoo.errors import SpecError
from salzoo.images.preprocess import MOST_PIXELS, Preprocess

View = tuple[float, bool]
"""One view of test-time augmentation: the scale of the input's sides, and whether it is mirrored left to right."""

MOST_VIEWS = 16
"""Most views of test-time augmentation."""


def check_views(tta: tuple[View, ...], preprocess: Preprocess) -> None:
    """Check that views are of sizes that a machine can hold.

    Raises:
        SpecError: If there is none, there are too many, or one is too small or too large.
    """
    if not 1 <= len(tta) <= MOST_VIEWS or any(not 0.1 <= scale <= 10 for scale, _ in tta):
        raise SpecError(
            f"tta={shown(tta)} is not accepted: 1 to {MOST_VIEWS} views (scale from 0.1 to 10, mirrored or not)."
        )
    largest = max(scale for scale, _ in tta)
    if largest > 1 and largest**2 * preprocess.size[0] * preprocess.size[1] > MOST_PIXELS:
        raise SpecError(
            f"tta: a view of scale {largest:g} of the size {list(preprocess.size)} is not accepted: up to "
            f"{MOST_PIXELS:,} pixels."
        )
