"""What a typed reference means: a name of the zoo, a folder, a repository on the Hub, or a Lightning checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from salzoo._schema import shown
from salzoo.checkpoint import hub
from salzoo.checkpoint.hub import HubRef
from salzoo.errors import SpecError, UnknownModelError, WeightsError
from salzoo.registry import ModelSpec, split_name

LIGHTNING_SUFFIX = ".ckpt"


@dataclass(frozen=True)
class ZooRef:
    """A model of the registry and a tag, which need not be one of its variants: `$SALZOO_HUB` may have it.

    Args:
        spec: The model.
        tag: Variant or checkpoint.
        tag_given: Whether the tag was typed, and is not the model's default.
        revision: Commit, tag or branch of its repository on the Hub, instead of the pinned one.
    """

    spec: ModelSpec
    tag: str
    tag_given: bool = False
    revision: str | None = None


@dataclass(frozen=True)
class FolderRef:
    """A checkpoint folder."""

    path: Path


@dataclass(frozen=True)
class StateRef:
    """A checkpoint file of Lightning's trainer."""

    path: Path


Reference = ZooRef | FolderRef | HubRef | StateRef


def parse_reference(source: str | Path, revision: str | None = None) -> Reference:
    """Return what `salzoo.load` was asked for.

    Args:
        source: `model`, `model.tag`, a path, or `hf://ORG/REPO@REVISION`. A name of the registry is never a folder,
            whatever lies in the working directory.
        revision: Branch, tag or commit on the Hub.

    Raises:
        UnknownModelError: If it looks like a name, and there is no such model.
        WeightsError: If it looks like a path, and nothing is there.
        SpecError: If the revision is given twice, or to something that has none.
    """
    text = str(source)
    if text.startswith(hub.SCHEME):
        found = hub.parse(text)
        if revision and found.revision:
            raise SpecError(f"{text}: give one revision, not {revision!r} too.")
        return replace(found, revision=revision or found.revision)
    is_path = isinstance(source, Path) or "/" in text or "\\" in text or text.endswith(LIGHTNING_SUFFIX)
    if not is_path:
        try:
            spec, tag = split_name(text)
            return ZooRef(spec, tag, "." in text, revision)
        except UnknownModelError:
            if not text or not os.path.exists(text):
                raise
    try:
        path = Path(source).expanduser()
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError, ValueError) as error:  # no such user, a name with a zero, links in a circle
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{shown(text)} is not a checkpoint folder: it cannot be opened: {reason}.") from error
    if not path.exists():
        raise WeightsError(
            f"{text} is not a checkpoint folder: it does not exist. One on the Hub is written {hub.suggest(text)}."
        )
    if revision is not None:
        raise SpecError(f"{text} is on this machine, and has no revision {revision!r}.")
    return StateRef(path) if path.suffix == LIGHTNING_SUFFIX and path.is_file() else FolderRef(path)


def parse_pretrained(source: str | Path, revision: str | None = None) -> Reference:
    """Return what `from_pretrained` was asked for: as `parse_reference`, but `ORG/REPO` is on the Hub if no folder."""
    if not isinstance(source, str) or not hub.is_repository(source) or os.path.exists(source):
        return parse_reference(source, revision)
    return replace(cast("HubRef", parse_reference(hub.SCHEME + source, revision)), assumed=True)
