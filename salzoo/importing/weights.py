"""`salzoo.import_weights`: files that the authors released become a checkpoint folder, or one error says why not."""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from salzoo._io import hash_file, remove_abandoned, scratch_beside
from salzoo._version import commit
from salzoo.checkpoint import card
from salzoo.checkpoint.config import CONFIG, Config, Imported, SourceFile, as_json
from salzoo.checkpoint.folder import own_checkpoints, read_config, save_checkpoint
from salzoo.checkpoint.loading import build_on_meta
from salzoo.components.load import load
from salzoo.errors import SalzooWarning, SpecError, WeightsError
from salzoo.importing.source import COUNTER, Files, MissingTensorError, Options, Source
from salzoo.registry import AUTHORS, ModelSpec, Release, ReleasedFile, read_spec, spec_names, split_name
from salzoo.weight_files import read

Report = Callable[[str], None]
_MOST = 1 << 24
"""Most values of a centre bias: 4,096 x 4,096."""


def import_weights(
    name: str,
    files: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    centre_bias: str | Path | NDArray[Any] | None = None,
    release: str | None = None,
    report: Report | None = None,
    command: str | None = None,
) -> Path:
    """Make a checkpoint of the weights that the authors of a model released; nothing in their files is executed.

    Afterwards `salzoo.load("<name>.authors")` takes it. `salzoo.info(name)["authors"]` lists the files that are
    understood and where they are offered. All or nothing: every tensor of the network is filled, every tensor of the
    files is used or known to be of no use, every shape fits, every value is finite.

    Args:
        name: `model`, or `model.tag` to keep several imports of one model side by side; without a tag it is `authors`.
        files: The file, or the files that belong together, in any order.
        output: Checkpoint folder to write; None for the user's own folder of checkpoints, where `load` looks. An older
            import of the same files is replaced, anything else is left as it is and refused.
        centre_bias: For models that add one: a (H, W) array of natural-log densities, or an `.npy` file of it.
        release: Which of the model's releases the files are, where several fit; None lets the files decide.
        report: Is told, in one line each, what is being done.
        command: What is recorded as the command; None for this call.

    Returns:
        The checkpoint folder.

    Raises:
        UnknownModelError: If there is no such model.
        SpecError: If nothing can be imported for it, or an option does not fit.
        WeightsError: If a file is missing, damaged, of another network or of another port, or the folder is taken.
    """
    tell = report or (lambda text: None)
    spec, tag = _target(name)
    mapping = _mapping(spec)
    paths = [_path(path) for path in ([files] if isinstance(files, str | Path) else files)]
    folder = _place(own_checkpoints() / f"{spec.name}.{tag}" if output is None else _path(output))
    options = Options(_centre_bias(centre_bias))
    sources = _read(paths, tell)
    paths = [source.path for source in sources]  # of TensorFlow's checkpoints the file with the numbers
    chosen = _choose(spec, mapping, sources, release)
    made = Imported(
        chosen.name,
        tuple(_identify(paths, chosen, tell)),
        tuple(dict.fromkeys(file.where for file in chosen.files)),
        chosen.license_note,
        command or f"salzoo.import_weights({name!r}, {[str(path) for path in paths]})",
        commit(),
        chosen.trained_on,
    )
    _check_free(folder, made)
    network, preprocess = as_json(chosen.network), as_json(chosen.preprocess)
    config = Config(spec.name, tag, network, preprocess, license=chosen.license, imported=made)
    tell(f"converting to {spec.name}.{tag}: {chosen.summary}")
    model = build_on_meta(config, paths[0])
    pairs = mapping.convert(sources, chosen.name, options)
    tensors = _collect(pairs, model.network, sources, f"{spec.name} ({chosen.name})")
    if centre_bias is not None and not options.asked:
        raise SpecError(f"centre_bias: {spec.name} ({chosen.name}) adds none; leave it out.")
    if centre_bias is None and options.asked:
        for note in options.notes:
            warnings.warn(note, SalzooWarning, stacklevel=2)
    model.network.load_state_dict(tensors, assign=True)
    del tensors, sources  # their files leave the memory once the network is written
    made = Imported(**{**vars(made), "notes": tuple(options.notes)})
    _write(model.network, Config(**{**vars(model.config), "license": chosen.license, "imported": made}), folder, tell)
    return folder


def _target(name: str) -> tuple[ModelSpec, str]:
    spec, tag = split_name(name)
    tag = tag if "." in name else AUTHORS
    if tag in spec.variants:
        raise SpecError(f"{name}: {tag!r} is a variant of salzoo's own; leave the tag out, which gives {AUTHORS!r}.")
    return spec, tag


def _mapping(spec: ModelSpec) -> ModuleType:
    """Return the mapping of a model.

    Raises:
        SpecError: If it has none.
    """
    known = f"salzoo.importing.maps.{spec.name}"
    try:
        module = importlib.import_module(known)
    except ModuleNotFoundError as error:
        if error.name != known:
            raise
        raise SpecError(
            f"{spec.name} has no importer; those that have: "
            f"{', '.join(name for name in spec_names() if read_spec(name).authors)}. `salzoo import --list FILE` shows "
            "what a file holds, and CONTRIBUTING.md how a mapping is written."
        ) from error
    if not spec.authors:  # the mapping of a model whose released files nobody has seen says why
        raise SpecError(str(module.__doc__).strip().splitlines()[0])
    return module


def _read(paths: Sequence[Path], tell: Report) -> Files:
    if not paths:
        raise SpecError("no file is given.")
    real = [os.path.realpath(path) for path in paths]
    if double := [path for path, place in zip(paths, real, strict=True) if real.count(place) > 1]:
        raise SpecError(f"{double[0]} is given twice{f', as {double[1]} too' * (double[0] != double[1])}.")
    sources = []
    for path in paths:
        tell(f"reading {path}" + (f" ({path.stat().st_size / 1e6:,.1f} MB)" if path.is_file() else ""))
        sources.append(Source(read(path)))
    return Files(sources)


def _choose(spec: ModelSpec, mapping: ModuleType, files: Files, release: str | None) -> Release:
    """Return the release that the files are: the one that is named, that the mapping recognises, or the first."""
    by_name = {one.name: one for one in spec.authors}
    if release is not None and release not in by_name:
        raise SpecError(f"release={release!r} is not one of {spec.name}; it has {', '.join(by_name)}.")
    if release is None and hasattr(mapping, "identify"):
        release = mapping.identify(files)
    chosen = by_name[release] if release is not None else spec.authors[0]
    if len(files) != len(chosen.files):
        wanted = ", ".join(file.name for file in chosen.files)
        raise WeightsError(
            f"{spec.name} ({chosen.name}) consists of {len(chosen.files)} file(s), {wanted}; got {len(files)}: "
            f"{', '.join(source.path.name for source in files)}."
        )
    return chosen


def _identify(paths: Iterable[Path], release: Release, tell: Report) -> Iterator[SourceFile]:
    """Yield checksums of the files, and whether they are the known ones; a warning if one should be and is not."""
    for path in paths:
        sha256, size = hash_file(path), path.stat().st_size
        pinned = [file for file in release.files if file.sha256 or file.git_blob]
        known = any(_is(file, path, sha256) for file in pinned)
        if known:
            tell(f"{path.name} is the known file (sha256 {sha256})")
        elif len(pinned) == len(release.files):
            warnings.warn(
                f"{path} is not the file of {release.name} that is known (sha256 {sha256}, expected "
                f"{' or '.join(file.sha256 or f'git blob {file.git_blob}' for file in pinned)}): compare where you "
                "have it from. It is imported if all its tensors fit.",
                SalzooWarning,
                stacklevel=3,
            )
        else:
            tell(f"{path.name}: sha256 {sha256}; no checksum of this file was published to compare it with")
        yield SourceFile(path.name, size, sha256, known)


def _is(file: ReleasedFile, path: Path, sha256: str) -> bool:
    return sha256 == file.sha256 if file.sha256 else _git_blob(path) == file.git_blob


def _git_blob(path: Path) -> str:
    """Return the identifier that git gives a file of this content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _path(given: str | Path) -> Path:
    if "\0" in str(given):
        raise SpecError(f"{str(given)!r} is no path: it holds a NUL.")
    return Path(os.path.expanduser(given))


def _place(folder: Path) -> Path:
    """Return where a folder really is, before minutes are spent on what cannot be written there.

    Raises:
        WeightsError: If it is below what is no folder, or in one that is closed to the user.
    """
    try:
        if folder.is_symlink():
            folder = Path(os.path.realpath(folder))  # Path.resolve raises for a circle, from Python 3.13 not
            if folder.is_symlink():
                raise OSError("its links lead in a circle")
        above = next(path for path in folder.absolute().parents if path.exists())
        reason = "" if os.access(above, os.W_OK | os.X_OK) else f"{above} is closed to you"
        reason = reason if above.is_dir() else f"{above} is no folder"
        folder.exists()  # a name that is too long
    except (OSError, ValueError) as error:
        reason = str(error)
    if reason:
        raise WeightsError(f"{folder} cannot be written: {reason}; give another folder (-o DIR).")
    return folder


def _check_free(folder: Path, made: Imported) -> None:
    """Refuse a folder that holds anything but an import of the same files.

    Raises:
        WeightsError: If it does.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    held = read_config(folder).imported if (folder / CONFIG).is_file() else None
    if held is None or [file.sha256 for file in held.files] != [file.sha256 for file in made.files]:
        what = f"the import of {', '.join(file.name for file in held.files)}" if held else "something else"
        raise WeightsError(
            f"{folder} holds {what} already: give another folder (-o DIR) or a tag of your own "
            "(`salzoo import MODEL.TAG`), or move it away."
        )


def _collect(pairs: Iterable[tuple[str, Tensor]], network: nn.Module, files: Files, what: str) -> dict[str, Tensor]:
    """Return every tensor of the network, checked one by one as it is converted.

    Raises:
        WeightsError: If one is missing, unknown, misshapen, doubled, constant or not finite, or one of the files' is
            left over.
        SpecError: If an option does not fit the model.
    """
    own, found = network.state_dict(), dict[str, Tensor]()
    kinds = {name: (parameter.dtype, parameter.shape) for name, parameter in own.items()}
    hint = "Another port, variant or version of the model?"
    try:
        for name, tensor in pairs:
            if name in found or name not in kinds:
                why = "is there twice" if name in found else "has no place in the network"
                raise WeightsError(f"{files.path}: what becomes {name} of {what} {why}. {hint}")
            found[name] = _checked(name, tensor, kinds[name], files, what, hint)
    except MissingTensorError as error:
        raise WeightsError(f"{error}, which {what} needs. {hint}") from error
    except (WeightsError, SpecError):  # SpecError: an option that does not fit, not the file
        raise
    except Exception as error:  # a tensor of so few axes, or so small, that the mapping cannot turn it
        reason = " ".join(str(error).split())
        raise WeightsError(f"{files.path}: a tensor cannot become {what}'s: {reason[:200]}. {hint}") from error
    if not any(source.counts for source in files):
        found |= {name: torch.tensor(0) for name in kinds if name.endswith(COUNTER) and name not in found}
    missing, left = [name for name in kinds if name not in found], files.left()
    if missing:
        raise WeightsError(
            f"{files.path} lacks what becomes {', '.join(missing[:3])} of {what} ({len(missing)} in all). {hint}"
        )
    if left:
        raise WeightsError(
            f"{files.path} has {len(left)} tensor(s) that {what} has no place for: {', '.join(left[:3])}. {hint}"
        )
    return found


def _checked(
    name: str, tensor: Tensor, kind: tuple[torch.dtype, torch.Size], files: Files, what: str, hint: str
) -> Tensor:
    dtype, shape = kind
    if tensor.shape != shape:
        raise WeightsError(
            f"{files.path}: what becomes {name} has the shape {list(tensor.shape)}, {what} needs {list(shape)}. {hint}"
        )
    if dtype.is_floating_point and not tensor.is_floating_point():
        raise WeightsError(f"{files.path}: what becomes {name} is {tensor.dtype}, no fractions: no weights. {hint}")
    tensor = tensor.detach().to(dtype)
    if dtype.is_floating_point and not torch.isfinite(tensor).all():
        raise WeightsError(f"{files.path}: what becomes {name} is not finite: the file is damaged. {hint}")
    if (
        tensor.ndim > 1
        and tensor.numel() > 1
        and name.endswith("weight")
        and bool((tensor == tensor.flatten()[0]).all())
    ):
        raise WeightsError(f"{files.path}: all of what becomes {name} is {tensor.flatten()[0]:g}: no training. {hint}")
    return tensor.contiguous()


def _write(network: nn.Module, config: Config, folder: Path, tell: Report) -> None:
    """Write a checkpoint beside its place, load it and predict with it, and only then put it there."""
    tell(f"writing {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent)
    scratch = scratch_beside(folder)
    try:
        config = save_checkpoint(network, config, scratch, half=False)
        card.write(scratch, split_name(config.model)[0], config)
        network.to("meta")
        tell("loading it, and predicting a small image")
        load(scratch)
        _put(scratch, folder, config)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put(scratch: Path, folder: Path, config: Config) -> None:
    """Put a finished checkpoint into its place, where another import may have put its own meanwhile."""
    while True:
        _check_free(folder, cast("Imported", config.imported))
        old = scratch_beside(folder)
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            scratch.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            if old.is_dir() and not folder.is_dir():
                old.rename(folder)
            shutil.rmtree(old, ignore_errors=True)


def _centre_bias(given: str | Path | NDArray[Any] | None) -> NDArray[np.float64] | None:
    """Return a (H, W) log density as float64.

    Raises:
        SpecError: If it is none.
    """
    if given is None:
        return None
    where = f"centre_bias {given}" if isinstance(given, str | Path) else "centre_bias"
    try:
        array = (
            np.load(os.path.expanduser(given), allow_pickle=False, mmap_mode="r")
            if isinstance(given, str | Path)
            else given
        )
        if not isinstance(array, np.ndarray):
            raise SpecError(f"{where}: an .npz archive; give the one array in it as .npy (numpy.save).")
        values = array
        fine = values.ndim == 2 and 1 <= values.size <= _MOST and values.dtype.kind == "f"
    except FileNotFoundError as error:
        raise SpecError(
            f"{where}: there is no such file; check the name (a relative path starts at '{Path.cwd()}')."
        ) from error
    except (OSError, ValueError) as error:
        raise SpecError(f"{where}: not an .npy file of numbers: {error}.") from error
    if not fine:
        raise SpecError(f"{where}: a (H, W) array of natural-log densities, got {values.dtype} {list(values.shape)}.")
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all() or wide.min() == wide.max() == 0 or wide.min() >= 0:
        raise SpecError(
            f"{where}: natural-log densities are finite and negative, got {wide.min():g} to {wide.max():g}: for a "
            "density give its logarithm, log(density)."
        )
    return wide
