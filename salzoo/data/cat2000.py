"""CAT2000: twenty categories of pictures, one file of fixations each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from salzoo.data.base import FixationDataset, list_pictures, load_mats, require_files, tenth
from salzoo.data.fixations import Fixations
from salzoo.errors import DataError
from salzoo.geometry import Size


class CAT2000(FixationDataset):
    """CAT2000: 4,000 pictures of 1920x1080 in 20 categories; 5 s (Borji and Itti, arXiv:1505.03581, 2015).

    `trainSet/Stimuli/<category>/NNN.jpg` with `trainSet/FIXATIONLOCS/<category>/NNN.mat` (a matrix of the picture's
    size, not 0 where one of the 18 observers looked) and `FIXATIONMAPS`; `testSet/Stimuli/<category>/NNN.jpg`, 2,000
    pictures whose fixations are not public. `names` are `<category>/NNN.jpg`; folders `Output` are copies and left out.
    Train and test share one numbering, so a category's files have gaps.

    The matrices do not tell who looked, in which order or how often at the same pixel: all are observer 0. (The file
    allFixData.mat does, as a MATLAB object that SciPy cannot read.)

    `all` is the whole of `trainSet`. It has no validation split: `val` is what `splits.json` beside the set says, else
    a tenth of the pictures, by a hash of the name (`salzoo.data.base.tenth` is 0), and `train` the rest. The usual blur
    is that of the Tuebingen benchmark, 40 px at 1080 rows.
    """

    name_of_set = "cat2000"
    hidden = ("test",)
    source = (
        "CAT2000 is the data of Borji and Itti, 'CAT2000: A Large Scale Fixation Dataset for Boosting Saliency "
        "Research', arXiv:1505.03581: trainSet.zip and, for the split test, testSet.zip"
    )

    def read_points(self, index: int) -> Fixations:
        """Read the picture's matrix."""
        (path,) = self.annotation_paths(index)
        arrays = load_mats(path, None, simplify=False)
        matrices = {name: value for name, value in arrays.items() if value.ndim == 2 and value.dtype.kind in "biuf"}
        name = next((name for name in ("fixLocs", "fixations") if name in matrices), None)
        if name is None and len(matrices) != 1:
            raise DataError(f"{path} must have the matrix fixLocs, it has {', '.join(arrays) or 'nothing'}")
        matrix = matrices[name] if name else next(iter(matrices.values()))
        if matrix.shape != (size := self.size(index)):
            raise DataError(f"{path} is {matrix.shape} (height, width), its picture {size}")
        y, x = np.nonzero(matrix)
        return Fixations(x.astype(np.float64), y.astype(np.float64), np.zeros(len(x), np.int64))

    def category(self, index: int) -> str:
        """Return the picture's category."""
        return self.names[index].split("/")[0]

    def annotation_paths(self, index: int) -> Iterable[Path]:
        """Return the picture's .mat file."""
        return [self._set / "FIXATIONLOCS" / Path(self.names[index]).with_suffix(".mat")]

    def map_path(self, index: int) -> Path:
        """Return where the set's own density is."""
        return self._set / "FIXATIONMAPS" / self.names[index]

    def image_path(self, index: int) -> Path:
        """Return where the picture is."""
        return self._set / "Stimuli" / self.names[index]

    @property
    def _set(self) -> Path:
        return self.root / ("trainSet" if self.has_fixations else "testSet")

    def _usual_sigma(self, size: Size) -> float:
        return 40 * size[0] / 1080

    def _absent(self, folder: Path) -> list[str]:
        parts = ["trainSet/Stimuli", "trainSet/FIXATIONLOCS"] if self.has_fixations else ["testSet/Stimuli"]
        return [part for part in parts if not (folder / part).is_dir()]

    def _present(self) -> list[str]:
        categories = sorted(path for path in (self._set / "Stimuli").iterdir() if path.is_dir())
        return [f"{category.name}/{name}" for category in categories for name in list_pictures(category)]

    def _read_split(self, present: list[str]) -> list[str]:
        if self.split == "test":
            return present
        if (self.root / "splits.json").exists():
            return super()._read_split(present)
        return [name for name in present if (tenth(name) == 0) == (self.split == "val")]

    def _list_names(self) -> list[str]:
        names = super()._list_names()
        for category in dict.fromkeys(name.split("/")[0] for name in names) if self.has_fixations else ():
            wanted = [Path(name).stem + ".mat" for name in names if name.startswith(f"{category}/")]
            require_files(wanted, self._set / "FIXATIONLOCS" / category, self)
        return names
