"""The Hugging Face Hub: downloads through its own client, checked by salzoo.

The client checks the size of what it downloads but not its content, repeats some failed requests and not others, and
takes 23 seconds to find out that the Hub cannot be reached. So here every weights file is checked against its sha256,
calls are repeated a bounded number of times, and a Hub that does not answer is reported in one line within seconds.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from salzoo._io import hash_file
from salzoo._schema import shown
from salzoo._version import __version__
from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.checkpoint.limits import CONFIG_BYTES
from salzoo.errors import SalzooError, SpecError, WeightsError

T = TypeVar("T")

SCHEME = "hf://"
PATIENCE = 5.0
"""Seconds within which the Hub must answer a question about a file."""
WAITS = (0.5, 1.0, 2.0)
"""Seconds before each retry of a call that failed temporarily."""
LIBRARY = "salzoo"
"""Name in the user agent, beside the version."""

_ADDRESS = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_PAGE = re.compile(r"https?://[^/]+/(?P<repo>[^/]+/[^/@]+)(/tree/(?P<revision>[^/]+))?/?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger("salzoo")


@dataclass(frozen=True)
class HubRef:
    """A repository on the Hub.

    Args:
        repo: `ORG/REPO`.
        revision: Branch, tag or commit; None for its default branch.
        assumed: Whether `ORG/REPO` was typed, which means a folder where there is one; errors say so.
    """

    repo: str
    revision: str | None = None
    assumed: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        """Return it as users type it."""
        why = " (there is no such folder here)" if self.assumed else ""
        return SCHEME + self.repo + (f"@{self.revision}" if self.revision else "") + why


@dataclass(frozen=True)
class HubOptions:
    """How the Hub is reached; what is None, the client takes from HF_TOKEN, HF_HOME and its login.

    Args:
        token: Token for private and gated repositories.
        cache_dir: Cache folder instead of the client's own.
        local_files_only: Do not ask the Hub; take what the cache has.
    """

    token: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False


def parse(text: str) -> HubRef:
    """Read `hf://ORG/REPO` or `hf://ORG/REPO@REVISION`.

    Raises:
        SpecError: If it is neither.
    """
    found = _ADDRESS.fullmatch(text.removeprefix(SCHEME))
    if found is None or not is_repository(found[0]):
        raise SpecError(
            f"{shown(text)} is not an address on the Hub; accepted is hf://ORG/REPO or hf://ORG/REPO@REVISION. "
            "Names have letters, digits, single -, _ and dots, and 96 characters together."
        )
    return HubRef(found["repo"], found["revision"])


def is_repository(text: str) -> bool:
    """Return whether a text looks like `ORG/REPO` or `ORG/REPO@REVISION`, by the Hub's rules for names."""
    found = _ADDRESS.fullmatch(text)
    if found is None or ".." in text or "--" in found["repo"] or len(found["repo"]) > 96:
        return False
    return not any(part.endswith((".", "-", ".git")) for part in found["repo"].split("/"))


def suggest(text: str) -> str:
    """Return how a checkpoint on the Hub is written, for a text that is nothing on this machine.

    Args:
        text: If it is `ORG/REPO`, or the address of its page, the suggestion names it.
    """
    if page := _PAGE.fullmatch(text):
        text = page["repo"] + (f"@{page['revision']}" if page["revision"] else "")
    return SCHEME + text if is_repository(text) else f"{SCHEME}ORG/REPO or {SCHEME}ORG/REPO@REVISION"


def fetch_config(address: HubRef, access: HubOptions) -> Path:
    """Return the folder in the client's cache that holds `config.json` of that revision; its name is the commit.

    Raises:
        WeightsError: If the repository, the revision or the file does not exist or cannot be fetched; the message says
            what to do.
    """
    if _offline(access):
        with translate_errors(address, access):
            return _cached(address, CONFIG, access).parent
    if address.revision and _COMMIT.fullmatch(address.revision) and (known := _find(address, CONFIG, access)):
        return known.parent  # a commit never changes: nothing to ask
    with translate_errors(address, access):
        try:
            size = _size(address, CONFIG, access)
        except Exception as error:
            if unreachable(error) and (known := _find(address, CONFIG, access)):
                _log.warning("The Hub does not answer; %s is taken from the cache: %s", address, known.parent.name)
                return known.parent
            raise
        if size > CONFIG_BYTES:
            raise WeightsError(f"{address}: {CONFIG} has {size} bytes; at most {CONFIG_BYTES} are read.")
        folder = _download(address, CONFIG, access).parent
    _log.info("%s is commit %s", address, folder.name)
    return folder


def fetch_weights(address: HubRef, folder: Path, access: HubOptions, sha256: str, most: int) -> None:
    """Put `model.safetensors` beside `config.json`, with the bytes that are expected.

    Args:
        address: The repository.
        folder: As `fetch_config` returned it.
        access: How to reach the Hub.
        sha256: Checksum of the file; if it differs, the file is fetched once more, since a cache can be damaged.
        most: Largest size in bytes, that of the network; a larger file is not downloaded.

    Raises:
        WeightsError: If the file cannot be fetched, is too large, or has another checksum.
    """
    at = HubRef(address.repo, folder.name)
    if _offline(access):
        _cached(at, WEIGHTS, access)
        return
    path = folder / WEIGHTS
    with translate_errors(at, access):
        if not path.exists():
            size = _size(at, WEIGHTS, access)
            if size > most:
                raise WeightsError(
                    f"{at}: {WEIGHTS} has {size} bytes, but the network of its {CONFIG} fills {most} at most."
                )
            _download(at, WEIGHTS, access)
        if hash_file(path) != sha256:
            _download(at, WEIGHTS, access, again=True)
    if (got := hash_file(path)) != sha256:
        raise WeightsError(
            f"{at}: {WEIGHTS} is not the expected file: its sha256 is {got}, expected {sha256}. It was fetched twice; "
            "do not use it, and tell the owner of the repository."
        )


def endpoint() -> str | None:
    """Return `$HF_ENDPOINT` as it is now; the client reads it only once."""
    return os.environ.get("HF_ENDPOINT")


def retry(call: Callable[[], T]) -> T:
    """Call, and retry after a pause if it failed temporarily: too many requests, a server error, a lost connection."""
    for wait in WAITS:
        try:
            return call()
        except Exception as error:
            cause = _cause(error)
            if not _passing(cause):
                raise
            time.sleep(_asked_to_wait(cause, wait))
    return call()


@contextmanager
def translate_errors(address: HubRef, access: HubOptions, kind: type[SalzooError] = WeightsError) -> Iterator[None]:
    """Turn what the client raises into an error of class `kind`: one line that says what to do."""
    try:
        yield
    except SalzooError:
        raise
    except Exception as error:  # the client raises a dozen kinds
        raise kind(_explanation(_cause(error), address, access)) from error


def unreachable(error: BaseException) -> bool:
    """Return whether an error means that there was no answer at all."""
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # which of two it is depends on the version

    kinds = (httpx.ConnectError, httpx.TimeoutException, OfflineModeIsEnabled)
    return bool(isinstance(error, kinds))


def _explanation(error: BaseException, address: HubRef, access: HubOptions) -> str:
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    site = endpoint() or "https://huggingface.co"
    login = "the given token" if access.token else "HF_TOKEN or `hf auth login`"
    if isinstance(error, errors.GatedRepoError):
        return f"{address} is gated: accept its terms at {site}/{address.repo}, then use a token of that account."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{address}: there is no such repository, or it is private and {login} does not open it."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{address}: the repository has no branch, tag or commit {address.revision!r}."
    if isinstance(error, errors.EntryNotFoundError):
        return f"{address} is not a checkpoint of salzoo: it needs {CONFIG} and {WEIGHTS}."
    if status == 401:
        return f"{address}: the Hub refuses the token (expired, or mistyped); make a new one at {site}/settings/tokens."
    if status == 403:
        return f"{address}: the token has no right to do this; make one that has at {site}/settings/tokens."
    if status in (409, 412):
        return f"{address} was changed by somebody else in between; nothing was overwritten: try again."
    if unreachable(error):
        return f"{address}: {site} does not answer, and the cache does not have it. Is there a network? (HF_ENDPOINT)"
    if status is not None:
        return f"{address}: {site} answered {status}, also after {len(WAITS)} more tries. Try again later."
    return f"{address}: {type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"


def _cause(error: BaseException) -> BaseException:
    """Return what the client wrapped into an error of another kind, if that is what the Hub or the network said."""
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    inner: BaseException | None = error
    while inner is not None:
        if hasattr(inner, "response") or isinstance(inner, httpx.TransportError):
            return inner
        inner = inner.__cause__
    return error


def _passing(error: BaseException) -> bool:
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # which of two it is depends on the version

    if unreachable(error):
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return bool(status == 429 or status >= 500)
    # without an errno: the client's own "Consistency check failed", of a body that ended early
    return bool(isinstance(error, (httpx.TransportError, OSError)) and getattr(error, "errno", None) is None)


def _asked_to_wait(error: BaseException, wait: float) -> float:
    headers: Any = getattr(getattr(error, "response", None), "headers", {})
    asked = headers.get("Retry-After", "")
    return min(float(asked), 10.0) if asked.isdigit() else wait


def _offline(access: HubOptions) -> bool:
    from huggingface_hub import constants

    return access.local_files_only or bool(constants.HF_HUB_OFFLINE)


def _find(address: HubRef, name: str, access: HubOptions) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(address.repo, name, revision=address.revision, cache_dir=access.cache_dir)
    return Path(found) if isinstance(found, str) else None


def _cached(address: HubRef, name: str, access: HubOptions) -> Path:
    found = _find(address, name, access)
    if found is None:
        why = "local_files_only=True" if access.local_files_only else "HF_HUB_OFFLINE is set"
        raise WeightsError(f"{address}: {name} is not in the cache, and {why}: fetch it once with a network.")
    return found


def _size(address: HubRef, name: str, access: HubOptions) -> int:
    """Return the size of a file as the Hub says it: what a call that does not retry by itself finds out at once."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(address.repo, name, revision=address.revision, endpoint=endpoint())
    head = retry(
        lambda: get_hf_file_metadata(
            url,
            token=access.token,
            timeout=PATIENCE,
            endpoint=endpoint(),
            library_name=LIBRARY,
            library_version=__version__,
        )
    )
    return head.size or 0


def _download(address: HubRef, name: str, access: HubOptions, *, again: bool = False) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        retry(
            lambda: hf_hub_download(
                address.repo,
                name,
                revision=address.revision,
                token=access.token,
                cache_dir=access.cache_dir,
                endpoint=endpoint(),
                force_download=again,
                etag_timeout=PATIENCE,
                library_name=LIBRARY,
                library_version=__version__,
            )
        )
    )
