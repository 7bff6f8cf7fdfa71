"""Check a checkpoint folder and upload it to the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.hf_api import RepoFile

from salzoo._io import hash_file
from salzoo._version import __version__
from salzoo.checkpoint.config import CARD, CONFIG, FEWEST, IMAGES, WEIGHTS, Config
from salzoo.checkpoint.folder import find_checkpoint, read_config
from salzoo.checkpoint.hub import LIBRARY, HubOptions, HubRef, endpoint, parse, retry, translate_errors
from salzoo.checkpoint.loading import build_on_meta, spec_of
from salzoo.checkpoint.reference import FolderRef, ZooRef, parse_reference
from salzoo.checkpoint.weights import metadata, read_tensors
from salzoo.errors import PublishError, SpecError, WeightsError
from salzoo.registry import resolve

FILES = (WEIGHTS, CONFIG, CARD, *IMAGES)
"""What a repository holds, images if the card shows them; the Hub adds `.gitattributes`."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".joblib")
"""Suffixes of files that can run code when they are opened, pickles foremost."""

_SEAL = re.compile(r"\n<!-- salzoo: sha256 of the card above ([0-9a-f]{64}) -->\n\Z")


@dataclass(frozen=True)
class Published:
    """What was uploaded, or would be.

    Args:
        repo: `ORG/REPO`.
        files: Name to (bytes, sha256).
        tag: Tag of the version.
        commit: Commit on the Hub; None for a rehearsal.
        changed: Whether there was anything new.
        name: `model.tag` of the checkpoint.
    """

    repo: str
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    tag: str = ""
    commit: str | None = None
    changed: bool = False
    name: str = ""


def publish(
    source: str | Path,
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    version: str = f"v{__version__}",
    keep_card: bool = False,
    token: str | None = None,
) -> Published:
    """Check a checkpoint folder, upload it in one commit and tag the version; an unchanged folder makes no commit.

    Args:
        source: `model`, `model.tag` (of `$SALZOO_HUB` or shipped), or the path of a checkpoint folder.
        repo: `ORG/REPO`; made if it is not there.
        private: Make the repository private.
        dry_run: Check only, and say what would be uploaded; nothing is sent.
        version: Tag of the commit; a tag that exists is never moved.
        keep_card: Leave a card that was edited on the Hub as it is, and upload the rest.
        token: Token with write access; None takes HF_TOKEN or the client's login.

    Raises:
        PublishError: If the folder is not fit to be published, the card was edited on the Hub, the version exists, or
            the Hub refuses.
        UnknownModelError: If there is no such model.
        SpecError: If `repo` is not `ORG/REPO`.
    """
    address = parse(repo)
    if address.revision is not None:
        raise SpecError(f"--repo {repo}: ORG/REPO without a revision; --version names the tag.")
    folder = _folder(source)
    config = check(folder)
    name = f"{config.model}.{config.tag}"
    with tempfile.TemporaryDirectory() as scratch:
        stage = _stage(folder, Path(scratch))
        files = {path.name: (path.stat().st_size, hash_file(path)) for path in sorted(stage.iterdir())}
        if dry_run:
            return Published(address.repo, files, version, name=name)
        with translate_errors(address, HubOptions(token), PublishError):
            commit, changed = _upload(stage, address, name, private, version, keep_card, token)
    return Published(address.repo, files, version, commit, changed, name)


def check(folder: Path) -> Config:
    """Return the config of a folder that is fit to be published.

    Raises:
        PublishError: If it is not; the message names the first fault: a file that does not belong there, a missing
            licence, no measured numbers, a tensor that is not finite or not of the network's size, a card without a
            header.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLES:
            raise PublishError(f"{path} can run code when it is opened; take it out: only safetensors are published.")
        if path.name not in FILES or path.parent != folder:
            raise PublishError(f"{path} does not belong into a repository; a checkpoint has {', '.join(FILES)}.")
    try:
        config = read_config(folder)
        _check_config(folder, config)
        _check_tensors(folder, config)
    except WeightsError as error:
        raise PublishError(str(error)) from error
    _check_card(folder / CARD, config)
    return config


def _folder(source: str | Path) -> Path:
    """Return the checkpoint folder that a name or a path means."""
    reference = parse_reference(source)
    if isinstance(reference, FolderRef):
        return reference.path
    if not isinstance(reference, ZooRef):
        raise PublishError(f"{source} is no checkpoint folder: name a model or the folder that `salzoo fit` wrote.")
    spec, tag = resolve(f"{reference.spec.name}.{reference.tag}", imported=True)
    folder = find_checkpoint(spec.name, tag)
    if folder is None:
        raise PublishError(f"{spec.name}.{tag} has no weights on this machine: train it, and name the folder.")
    return folder


def _check_config(folder: Path, config: Config) -> None:
    spec = spec_of(config, folder)  # nobody could load the model of an unknown name
    license = config.license or ""
    if not license.strip() or license.lower() in ("unknown", "other", "none"):
        raise PublishError(
            f"{folder / CONFIG}: license is {config.license!r}; name the SPDX identifier under which the weights may "
            "be used. Nothing is published without one."
        )
    if (forbidding := license.lower()).startswith("licenseref-none") or re.search(r"(^|-)(nc|nd)(-|$)", forbidding):
        note = f" {config.imported.license_note}" if config.imported is not None else ""
        raise PublishError(
            f"{folder / CONFIG}: license is {license}, which does not allow these weights to be published.{note} Keep "
            "them to yourself, and name the authors' file to others: they import it as you did."
        )
    if not config.measured:
        kind = "--scanpaths " if spec.kind == "scanpath" else ""
        raise PublishError(
            f"{folder / CONFIG} has no measured numbers: `salzoo evaluate {folder} {kind}--data SET --root DIR "
            "--record` measures them and writes them there."
        )
    for row in config.measured:
        if row.images < FEWEST:
            raise PublishError(
                f"{folder / CONFIG}: {row.dataset} {row.split} was measured on {row.images} images, which tell "
                f"nothing: measure on at least {FEWEST}, as `--split all` may have."
            )
        if bad := [name for name, value in row.scores.items() if not math.isfinite(value)]:
            raise PublishError(f"{folder / CONFIG}: {', '.join(bad)} on {row.dataset} is not a number; measure again.")


def _check_tensors(folder: Path, config: Config) -> None:
    path = folder / WEIGHTS
    if not path.is_file():
        raise PublishError(f"{folder} has no {WEIGHTS}.")
    if (got := hash_file(path)) != config.sha256:
        raise PublishError(f"{path} has sha256 {got}, but {CONFIG} says {config.sha256}: they are not of one run.")
    read_tensors(build_on_meta(config, folder).network, path, got)
    if len(keys := metadata(path)) > 1:
        raise PublishError(f"{path} has {len(keys)} metadata keys; with more than one its bytes change at every save.")


def _check_card(path: Path, config: Config) -> None:
    if not path.is_file():
        raise PublishError(f"{path} is missing: `salzoo evaluate ... --record` writes it.")
    text = path.read_text(encoding="utf-8")
    for image in IMAGES:
        shown, there = f"]({image})" in text, path.with_name(image).is_file()
        if shown and not there:
            raise PublishError(f"{path} shows {image}, which is missing; write the card again, or put the image there.")
        if there and not shown:
            raise PublishError(f"{image} is not shown by {path}; write the card again, or take the image out.")
    try:
        header = ModelCard(text, ignore_metadata_errors=False).data.to_dict()  # type: ignore[no-untyped-call]
    except (ValueError, yaml.YAMLError) as error:
        raise PublishError(f"{path}: its header is not valid YAML: {error}") from error
    wanted: dict[str, Any] = {"library_name": LIBRARY, "license": config.license}
    for key, value in wanted.items():
        if header.get(key) != value:
            raise PublishError(f"{path}: {key} is {header.get(key)!r}, expected {value!r}; write the card again.")
    if "model-index" not in header and config.measured:
        raise PublishError(f"{path}: the header has no model-index; write the card again after measuring.")


def _stage(folder: Path, scratch: Path) -> Path:
    """Copy what is uploaded; the card is sealed, so that an edit on the Hub is seen before it is overwritten."""
    for name in (WEIGHTS, CONFIG, *IMAGES):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, scratch / name)
    (scratch / CARD).write_text(_seal((folder / CARD).read_text(encoding="utf-8")), encoding="utf-8")
    return scratch


def _seal(card: str) -> str:
    text = _SEAL.sub("", card)
    return f"{text}\n<!-- salzoo: sha256 of the card above {_digest(text)} -->\n"


def _is_sealed(card: str) -> bool:
    """Return whether nobody edited a card since it was published."""
    found = _SEAL.search(card)
    return found is not None and found[1] == _digest(card[: found.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _upload(
    stage: Path, address: HubRef, name: str, private: bool, version: str, keep_card: bool, token: str | None
) -> tuple[str, bool]:
    """Return the commit, and whether it is a new one."""
    api = HfApi(endpoint(), token, library_name=LIBRARY, library_version=__version__)
    repo = address.repo
    retry(lambda: api.create_repo(repo, private=private or None, exist_ok=True))
    head = str(retry(lambda: api.model_info(repo)).sha)
    if not _card_is_ours(api, repo, head):
        if not keep_card:
            raise PublishError(
                f"{address}: its {CARD} was edited on the Hub, and is not overwritten. Take the edits over into the "
                "card here, or leave that one as it is with --keep-card; nothing was uploaded."
            )
        (stage / CARD).unlink()
    changed = _changed(api, repo, head, stage)
    tags = {ref.name: ref.target_commit for ref in retry(lambda: api.list_repo_refs(repo)).tags}
    if changed and version in tags:
        raise PublishError(
            f"{address}: {', '.join(changed)} changed, but the version {version} is commit {tags[version][:12]}, and "
            "tags are never moved: choose another with --version; nothing was uploaded."
        )
    commit = head
    if changed:
        message = f"{name}, salzoo {__version__}"
        info = retry(
            lambda: api.upload_folder(repo_id=repo, folder_path=stage, parent_commit=head, commit_message=message)
        )
        commit = str(info.oid)
    if version not in tags:
        retry(lambda: api.create_tag(repo, tag=version, revision=commit, exist_ok=True))
    return commit, bool(changed)


def _changed(api: HfApi, repo: str, commit: str, stage: Path) -> list[str]:
    """Return the names of the files whose bytes the Hub does not have."""
    paths = sorted(stage.iterdir())
    there = {
        info.path: {info.blob_id, info.lfs.sha256 if info.lfs else None}
        for info in retry(lambda: api.get_paths_info(repo, [path.name for path in paths], revision=commit))
        if isinstance(info, RepoFile)
    }
    return [path.name for path in paths if not {_git_hash(path), hash_file(path)} & there.get(path.name, set())]


def _git_hash(path: Path) -> str:
    """Return what git, and the Hub for small files, calls the content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _card_is_ours(api: HfApi, repo: str, commit: str) -> bool:
    """Return whether the Hub has no card, or one that nobody edited since it was published."""
    if not retry(lambda: api.file_exists(repo, CARD, revision=commit)):
        return True
    with tempfile.TemporaryDirectory() as scratch:
        path = retry(lambda: api.hf_hub_download(repo, CARD, revision=commit, cache_dir=scratch))
        return _is_sealed(Path(path).read_text(encoding="utf-8"))
