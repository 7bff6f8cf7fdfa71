"""What an untrusted checkpoint may ask for, checked before anything is done with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from salzoo._schema import shown
from salzoo.errors import SpecError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_BYTES = 1 << 20
"""Largest `config.json` that is read; those of the zoo have 4 KB, and a training set of 10,000 images adds 107 KB."""

MOST_BYTES = 1 << 32
"""Size in bytes of the largest network that an untrusted `config.json` may describe."""

MOST_TENSORS = 20_000
"""Most tensors that building such a network may make; the largest of the zoo's papers makes 6,000."""

MOST_ITEMS, MOST_CHARACTERS, MOST_DEPTH, LARGEST = 1_000, 10_000, 12, 1e12
"""Most items of a list or mapping, characters of a text, levels of nesting, and the largest number."""


def from_pickle(value: Any, where: str) -> Any:
    """Return what a pickle holds as JSON types; one list that is in it a thousand times counts a thousand times.

    Raises:
        SpecError: If it would be larger than a `config.json` may be.
    """
    pieces, size = [], 0
    for piece in json.JSONEncoder().iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > CONFIG_BYTES:
            raise SpecError(f"{where}: more than {CONFIG_BYTES} bytes, which are the most that are read.")
    return json.loads("".join(pieces))


def check_depth(value: Any, where: str) -> None:
    """Check that parsed JSON is not nested too deeply to be copied.

    Raises:
        SpecError: If it is.
    """
    level = [value]
    for _ in range(MOST_DEPTH):
        containers = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [item for items in containers for item in items]
    if level:
        raise SpecError(f"{where}: nested in more than {MOST_DEPTH} levels.")


def check_plain(value: Any, where: str) -> None:
    """Check parsed JSON that is not too deep, and whose type is not known further.

    Args:
        value: What the parser returned.
        where: Path inside the file, for the message.

    Raises:
        SpecError: If a list or a text is too long, or a number is not finite or too large.
    """
    if isinstance(value, dict | list | tuple):
        if len(value) > MOST_ITEMS:
            raise SpecError(f"{where}: {len(value):,} items; at most {MOST_ITEMS:,} are accepted.")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            check_plain(item, f"{where}.{str(key)[:60]}")
    elif isinstance(value, str):
        if len(value) > MOST_CHARACTERS:
            raise SpecError(f"{where}: {len(value):,} characters; at most {MOST_CHARACTERS:,} are accepted.")
    elif isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise SpecError(f"{where}: got {shown(value)}, expected a finite number of at most {LARGEST:g}.")


@contextmanager
def limited(where: object) -> Iterator[list[int]]:
    """Stop the building of a network, in this thread, that makes too many tensors or too large ones.

    Yields:
        A list whose two numbers are the tensors made so far, and their bytes.

    Raises:
        WeightsError: If it does.
    """
    from torch.nn.modules import module

    made, thread = [0, 0], threading.get_ident()

    def count(owner: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is None or threading.get_ident() != thread:
            return
        made[0] += 1
        made[1] += tensor.numel() * tensor.element_size()
        if made[0] > MOST_TENSORS or made[1] > MOST_BYTES:
            raise WeightsError(
                f"{where}: config.json describes a network of {made[1]:,} bytes and more in {made[0]:,} tensors; at "
                f"most {MOST_BYTES:,} bytes and {MOST_TENSORS:,} tensors are accepted."
            )

    hooks = [
        module.register_module_parameter_registration_hook(count),
        module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield made
    finally:
        for hook in hooks:
            hook.remove()
