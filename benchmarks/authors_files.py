"""Write docs/authors_weights.md: every file that `salzoo import` understands, from the models' YAMLs.

python benchmarks/authors_files.py
"""

from __future__ import annotations

import re
from pathlib import Path

from salzoo._io import write_text
from salzoo._markdown import table
from salzoo.registry import ModelSpec, Release, ReleasedFile, read_spec, spec_names

PAGE = Path(__file__).parents[1] / "docs" / "authors_weights.md"

FORMATS = {
    ".pth": "PyTorch",
    ".pt": "PyTorch",
    ".npz": "NumPy",
    ".caffemodel": "Caffe",
    ".pkl": "Keras 1 (HDF5)",  # the suffix misleads: ML-Net and SAM
    ".h5": "Keras (HDF5)",
    ".pickle": "Python 2 pickle",
    ".pb": "TensorFlow graph",
    ".tflite": "TensorFlow Lite",
    "": "text",  # eDN
    "attention_final": "Caffe",  # DVA
}

INTRODUCTION = """\
# The authors' own weights

<!-- Written by `python benchmarks/authors_files.py` from zoo_configs/*.yaml. -->

salzoo ships none of these files and fetches none: their authors offer them, most without a word on what they may be
used for. Whoever has one makes an ordinary checkpoint of it with one command, from Python with
`salzoo.import_weights(NAME, FILES)`:

```
salzoo import NAME FILE...
salzoo predict photo.jpg -m NAME.authors
```

Nothing in a file is executed. Every tensor of the network must be in the file, every tensor of the file must be used
or known to be of no use, every shape must fit and every value be finite; otherwise one line says what is wrong, and
nothing is written. `salzoo import --list FILE` prints what any file holds, `-o DIR` writes the checkpoint elsewhere,
and `NAME.TAG` (`salzoo import salgan.mine FILE`) keeps several imports of one model side by side: `salzoo evaluate
salgan.mine salgan.authors salgan.lite --data osie --root DIR` compares them. The checkpoint records file, checksum,
training data and licence; `publish` refuses weights whose licence does not allow it, or that have none. Files of Keras
(HDF5) are read with h5py: `pip install 'salzoo[hdf5]'`.

Checkpoints are folders in `~/.local/share/salzoo/hub` (in `$XDG_DATA_HOME/salzoo/hub` if that variable is set, on
Windows in `%LOCALAPPDATA%\\salzoo\\hub`); the import prints which. To remove one, delete its folder. To use it on
another machine, copy the folder to the same place there, or anywhere and name it: `salzoo predict photo.jpg -m FOLDER`,
`salzoo.load("FOLDER")`. Nothing is fetched when it is loaded. Where a model has several releases, the tensors tell
which one a file is, and where those are alike, as of one network trained on several datasets, its name does: keep the
name that the authors gave it, or give `--release RELEASE`, a name of the second column below.

The DeepGaze models add a centre bias, which is a file of its own (`--centre-bias`): `centerbias_mit1003.npy`,
<https://github.com/matthias-k/DeepGaze/releases/download/v1.0.0/centerbias_mit1003.npy>, 8,388,688 bytes, sha256
`051645b7da47884c138e81f28a4afbadd99b6c3262eaf086434a9626e3578be9`. Without it the bias is uniform, which a warning
says; import again with it, which replaces the first.
"""

CHECKING = """\
## How to check an import

Each conversion was compared with an engine that is not salzoo's, with pseudo-random weights ("proved" below). That
the *file* is the one that the authors meant, and that images are prepared as they did, shows only on their own
answer: several repositories have an image together with the map that the released network gives for it ("known
answer"). After a download, compare with that:

```
salzoo import NAME FILE... --check IMAGE MAP
```

It predicts the image and prints three numbers. CC is the correlation of both maps; rank correlation is that of the
ranks of their pixels, which is blind to the rounding to 8 bits and to any brightening that was done to the picture of
a map; KL is the divergence from their map to ours in nats, and suffers from both. Where one of the first two is above
.98 it is the same network, prepared in the same way. Faults are not subtle: with pseudo-random weights, SalGAN's
kernels turned nowhere or everywhere leave a CC of .15 or .57, and DeepGaze IIE on an image squashed to 384 x 512 one
of .46. Where there is no known answer, score the import on a public dataset that it was not trained on and compare
with the numbers that the authors or others report: `salzoo evaluate NAME.authors --data osie --root DIR`, and `salzoo
info NAME`.
"""


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    write_text(PAGE, page())
    print(PAGE)


def page() -> str:
    """Return the whole page."""
    specs = [spec for name in spec_names() if (spec := read_spec(name)).authors]
    releases = [(spec, release) for spec in specs for release in spec.authors]
    header = ("model", "release", "files", "format", "licence", "command")
    lines = [INTRODUCTION, *table(header, (row(spec, release) for spec, release in releases)), "", CHECKING]
    for spec in specs:
        lines += [f"## {spec.name}", "", f"{spec.summary}{citation(spec)}", ""]
        for release in spec.authors:
            lines += [*section(release), ""]
    return "\n".join(lines).rstrip() + "\n"


def row(spec: ModelSpec, release: Release) -> list[str]:
    """Return the cells of the overview."""
    files = "<br>".join(f"{link(file)}{size(file)}" for file in release.files)
    formats = dict.fromkeys(file_format(file) for file in release.files)
    return [
        f"[`{spec.name}`](#{spec.name})",
        release.name,
        files,
        ", ".join(formats),
        licence(release),
        f"`{release.command(spec.name)}`",
    ]


def section(release: Release) -> list[str]:
    """Return what is known of a release, as a list."""
    lines = [f"**{release.name}**: {release.summary.rstrip('.')}.", ""]
    for file in release.files:
        known = [f"sha256 `{file.sha256}`"] if file.sha256 else []
        known += [f"git blob `{file.git_blob}`"] if file.git_blob else []
        size = f"{file.bytes:,} bytes" if file.bytes else "size not known"
        lines.append(f"- File `{file.name}`, {size}, {' and '.join(known) or 'no checksum known'}: {where(file)}")
    lines += [f"- Trained on: {', '.join(release.trained_on) or 'not known'}", f"- Licence: {release.license_note}"]
    lines.append(f"- Proved: {sentence(release.proved or 'not yet')}")
    lines.append(f"- Known answer: {(release.known_answer or 'none').rstrip('.')}.")
    return lines


def file_format(file: ReleasedFile) -> str:
    """Return the format, by the whole name or by its suffix."""
    return FORMATS.get(file.name) or FORMATS[Path(file.name).suffix]


def licence(release: Release) -> str:
    return "none stated" if release.license == "LicenseRef-none" else release.license


def link(file: ReleasedFile) -> str:
    found = re.search(r"https?://\S+[^\s,;)]", file.where)
    return f"[`{file.name}`]({found[0]})" if found else f"`{file.name}`"


def where(file: ReleasedFile) -> str:
    return f"<{file.where}>" if re.fullmatch(r"https?://\S+", file.where) else file.where


def size(file: ReleasedFile) -> str:
    if file.bytes is None:
        return ""
    return f", {file.bytes / 1e6:.1f} MB" if file.bytes >= 1e6 else f", {file.bytes / 1e3:.0f} kB"


def citation(spec: ModelSpec) -> str:
    if spec.paper is None:
        return ""
    return f" {spec.paper.authors}, {spec.paper.venue} {spec.paper.year}" + (
        f", <{spec.paper.code}>." if spec.paper.code else "."
    )


def sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


if __name__ == "__main__":
    main()
