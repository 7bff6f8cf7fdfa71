"""What is said of weights that are not on this machine: which they are, and how they get here."""

from __future__ import annotations

from salzoo.checkpoint.config import WEIGHTS
from salzoo.errors import UnknownModelError, WeightsError
from salzoo.registry import AUTHORS, CENTRE_BIAS, ModelSpec, ReleasedFile


def no_variant(spec: ModelSpec, tag: str) -> UnknownModelError:
    """Return the error that names the variants there are."""
    more = f", and {AUTHORS} (imported weights)" if spec.authors else ""
    return UnknownModelError(f"{spec.name} has no variant {tag!r}; it has {', '.join(sorted(spec.variants))}{more}.")


def not_imported(spec: ModelSpec) -> WeightsError:
    """Return the error that says which files the authors released, and how they become a checkpoint."""
    first, *others = spec.authors
    files = ", ".join(f"{file.name} ({_facts(file)}) from {file.where}" for file in first.files)
    files += f", and the centre bias that it adds from {CENTRE_BIAS}" * first.adds_centre_bias
    licence = "none stated" if first.license == "LicenseRef-none" else first.license
    more = "; ".join(f"{one.command(spec.name)} ({one.name})" for one in others)
    return WeightsError(
        f"{spec.name}.{AUTHORS} is not on this machine: salzoo ships none of the authors' weights. Fetch "
        f"{first.summary.rstrip('.')}: {files}; licence {licence}: {first.license_note} "
        f"Then: {first.command(spec.name)}"
        + f"; for other releases, of which salzoo.info({spec.name!r})['authors'] tells more: {more}"
        * bool(others)
    )


def _facts(file: ReleasedFile) -> str:
    size = f"{file.bytes / 1e6:,.3g} MB" if file.bytes else "size not known"
    known = f"sha256 {file.sha256}" if file.sha256 else f"git blob {file.git_blob}" if file.git_blob else ""
    return f"{size}, {known or 'no checksum is known'}"


def not_published(spec: ModelSpec, tag: str, searched: str) -> WeightsError:
    """Return the error of a variant that nobody has trained; `searched` names the folders that were looked into."""
    tags = (*spec.loadable, *spec.left_out)
    there = f"weights exist for {', '.join(tags)}" if tags else "no weights are published for it"
    return WeightsError(
        f"{spec.name}.{tag} has no published weights in {searched} or on the Hub ({there}). weights=None gives the "
        f"untrained network, `salzoo fit {spec.name}.{tag}` trains it, and $SALZOO_HUB names a folder that holds "
        f"{spec.name}.{tag}/."
        + (
            f" The authors' weights can be imported: salzoo.load('{spec.name}.{AUTHORS}') says how."
            * bool(spec.authors)
        )
    )


def not_in_the_wheel(spec: ModelSpec, tag: str, size: int) -> WeightsError:
    """Return the error of a checkpoint of the zoo whose weights, of so many bytes, a wheel leaves out."""
    name, megabytes = f"{spec.name}.{tag}", max(round(size / 1e6), 1)
    return WeightsError(
        f"{WEIGHTS} of {name} (about {megabytes} MB) is not in this installation: a wheel holds the weights of some "
        "models, which `salzoo list` marks with *. Clone salzoo's repository, which holds all, and set "
        f"SALZOO_HUB=CLONE/hub, or name the folder: salzoo.load('CLONE/hub/{name}'). From a repository on the Hugging "
        "Face Hub: salzoo.load('hf://ORG/REPO@REVISION')."
    )
