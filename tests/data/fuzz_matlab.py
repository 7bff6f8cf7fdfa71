"""Changes each byte of a .mat file to several values, and reads what comes out: `python fuzz_matlab.py MOST FILE...`.

A process of its own: a crash of a parser ends it, and with it only one test.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from salzoo.data._matlab import open_mat, simple
from salzoo.errors import DataError


def main(most: int, *sources: str) -> None:
    """Print how many files were tried, with changes in at least so many bytes of each, and how many were refused."""
    tried = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.mat"
        for whole in (Path(source).read_bytes() for source in sources):
            for place in range(0, len(whole), max(1, len(whole) // most)):
                for new in {0, 133, whole[place] ^ 1, (whole[place] + 128) % 256} - {whole[place]}:
                    path.write_bytes(whole[:place] + bytes([new]) + whole[place + 1 :])
                    tried, refused = tried + 1, refused + (not _reads(path))
    print(tried, refused)


def _reads(path: Path) -> bool:
    try:
        for each in open_mat(path).values():
            simple(each.read())
    except DataError:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
