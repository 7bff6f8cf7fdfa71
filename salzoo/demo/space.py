"""The page as a folder for a Hugging Face Space."""

from __future__ import annotations

import sys
from pathlib import Path

from salzoo._io import write_text
from salzoo._version import __version__
from salzoo.demo.functions import loadable_models
from salzoo.demo.page import MISSING
from salzoo.errors import RunError, SpecError
from salzoo.registry import read_spec, spec_names

_APP = '''"""The page of `salzoo demo`."""

from salzoo.demo.page import launch

launch()
'''

_README = """---
title: salzoo
emoji: 👀
colorFrom: indigo
colorTo: yellow
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
license: apache-2.0
short_description: Where do people look in this image?
models: {models}
tags: [saliency, eye-tracking, visual-attention]
---

# Where do people look in this image?

Drop an image, and compare what two models of the salzoo zoo say of it; drag a box to read its share of attention.
Models: {names}.

This folder was written by `salzoo demo --space`; `python app.py` starts the same page on a machine with
`pip install -r requirements.txt`.
"""


def write_space(folder: Path) -> list[Path]:
    """Write `app.py`, `README.md` and `requirements.txt` for a Space with the gradio and the salzoo that are installed.

    Args:
        folder: Made if it is not there.

    Returns:
        The files.

    Raises:
        SpecError: If gradio is not installed.
        RunError: If the folder holds an `app.py` or a `README.md` of something else.
    """
    try:
        from gradio import __version__ as gradio
    except ImportError as error:
        raise SpecError(MISSING) from error
    pins = [variant.hub for name in spec_names() for variant in read_spec(name).variants.values()]
    content = {
        "app.py": _APP,
        "README.md": _README.format(
            gradio=gradio,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            models=f"[{', '.join(sorted({pin.repo for pin in pins if pin is not None}))}]",
            names=", ".join(loadable_models()),
        ),
        "requirements.txt": f"salzoo[demo]=={__version__}\n",
    }
    app = folder / "app.py"
    if app.exists() and app.read_text(encoding="utf-8", errors="replace") != _APP:
        raise RunError(f"{app} is of something else: choose another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        write_text(folder / name, text)
    return [folder / name for name in content]
