"""`salzoo evaluate` in one of several processes; its maps note who read them: `shared_evaluate.py FOLDER WORDS`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from salzoo.cli import main
from salzoo.data.map_folder import MapFolder


class Noted(MapFolder):
    """Writes an empty file for each map that is read: index and process."""

    def stored(self, index: int) -> NDArray[np.generic]:
        """Read, and note it."""
        Path(sys.argv[1], f"{index}-{os.environ['RANK']}-{os.getpid()}").touch(exist_ok=False)
        return super().stored(index)


if __name__ == "__main__":
    torch.set_num_threads(1)
    import salzoo.evaluation.scoring

    salzoo.evaluation.scoring.MapFolder = Noted
    sys.exit(main(sys.argv[2:]))
