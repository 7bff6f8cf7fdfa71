"""What tables of scanpath models have as columns."""

from __future__ import annotations

from typing import Final, NamedTuple


class Column(NamedTuple):
    """A metric as a column: its heading, which side is better, and digits after the point."""

    heading: str
    higher_is_better: bool | None = True
    digits: int = 3


CONDITIONAL: Final = {
    "ll": Column("bit over uniform"),
    "order": Column("bit over static"),
    "ll_far": Column("bit, steps from 1°"),
    "nss": Column("NSS"),
    "auc": Column("AUC"),
}
"""Metrics of the density of the next fixation; means over fixations. The first one ranks models."""
SIMILARITIES: Final = {
    "mm_shape": Column("MultiMatch shape"),
    "mm_direction": Column("direction"),
    "mm_length": Column("length"),
    "mm_position": Column("position"),
    "mm_duration": Column("duration"),
    "scan_match": Column("ScanMatch"),
    "string_edit": Column("string edit"),
    "dtw": Column("DTW px", higher_is_better=False, digits=0),
    "frechet": Column("Frechet px", higher_is_better=False, digits=0),
    "stde": Column("STDE"),
    "recurrence": Column("recurrence %", higher_is_better=None, digits=1),
    "determinism": Column("determinism %", higher_is_better=None, digits=1),
}
"""Metrics of drawn paths beside people's; means over images of means over pairs. They describe, and do not rank."""
METRICS: Final = CONDITIONAL | SIMILARITIES
