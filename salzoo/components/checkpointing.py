"""How a model is loaded and saved: `from_pretrained`, `save_pretrained`, `push_to_hub`, Lightning's checkpoints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from salzoo._precision import Precision, check_precision
from salzoo.checkpoint.config import Config, Parent, as_json
from salzoo.checkpoint.folder import read_config
from salzoo.checkpoint.hub import HubOptions
from salzoo.checkpoint.loading import LIGHTNING_KEY, load_lightning, load_reference
from salzoo.checkpoint.reference import parse_pretrained
from salzoo.components.devices import place
from salzoo.components.lightning_module import LightningModule
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import PublishError, SpecError

if TYPE_CHECKING:
    import torch

    from salzoo.checkpoint.publishing import Published


def keep_contiguous(module: nn.Module) -> None:
    """Let `state_dict` copy the tensors that a user has laid out otherwise, since safetensors takes no such ones.

    So after `model.to(memory_format=torch.channels_last)` these are no longer the network's own.
    """
    module.register_state_dict_post_hook(_contiguous)  # type: ignore[no-untyped-call]


def _contiguous(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    for name, tensor in state.items():
        if name.startswith(prefix) and not isinstance(tensor, nn.Parameter) and hasattr(tensor, "is_contiguous"):
            state[name] = tensor.contiguous()


class CheckpointModule(LightningModule):
    """A LightningModule that knows which checkpoint it is, and reads and writes checkpoints."""

    network: nn.Module
    training_config: TrainingConfig
    preprocess: Any
    tta: tuple[tuple[float, bool], ...]
    temperature: float
    precision: Precision = "32-true"
    """What the network predicts in, as `salzoo.load` was told; training has the trainer's."""
    config: Config | None = None
    """Which model of the registry this is, its arguments, where its weights come from and what was measured."""
    statistics_fitted = False
    """Whether `fit_statistics` has been run. A loaded checkpoint has them, and its weights rely on them."""

    def __init__(self) -> None:
        super().__init__()
        keep_contiguous(self)

    def __dir__(self) -> Iterable[str]:
        """Leave out `trainer` until there is one, as asking for it raises: `torch.jit.trace` asks for every name."""
        names: list[str] = super().__dir__()  # type: ignore[no-untyped-call]
        return [name for name in names if name != "trainer" or self._trainer is not None]

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        device: str | torch.device | None = None,
        precision: Precision = "32-true",
        **options: Any,
    ) -> Self:
        """Load from the Hub, a checkpoint folder or the zoo, like `salzoo.load`.

        Args:
            source: `ORG/REPO` (or `hf://ORG/REPO@REVISION`), a folder, or a name of the zoo. A folder that exists on
                this machine comes before a repository of the same name.
            revision: Branch, tag or commit on the Hub.
            token: Token for private and gated repositories.
            cache_dir: Where downloads are kept.
            local_files_only: Do not ask the Hub.
            device: Where the model goes, as `salzoo.load` takes it.
            precision: What the network computes in when it predicts, as `salzoo.load` takes it.
            options: Options that change no tensor, as `salzoo.load` takes them.

        Raises:
            WeightsError: If weights are missing, damaged, do not fit, or cannot be fetched.
            SpecError: If they belong to another class than this one.
        """
        check_precision(precision)
        access = HubOptions(token, cache_dir, local_files_only)
        model = cls._checked(load_reference(parse_pretrained(source, revision), "default", access, options), source)
        model.precision = precision
        return place(model, device)

    def save_pretrained(self, folder: str | Path, *, license: str | None = None) -> None:
        """Write a checkpoint folder that `salzoo.load` takes: weights, `config.json` and card.

        Provenance and measured numbers of the checkpoint that the model came from go along only if its weights are
        still the same.

        Args:
            folder: Created if it does not exist.
            license: SPDX identifier of the weights; None for that of the checkpoint they came from.

        Raises:
            SpecError: If this model is not in the registry, or no licence is known for the weights.
            WeightsError: If a tensor is not finite.
        """
        from salzoo.checkpoint.card import save_model  # the Hub's client takes a while to import

        save_model(self.network, self.known_config(), Path(folder).expanduser(), license)

    def push_to_hub(self, repo: str, *, license: str | None = None, **options: Any) -> Published:
        """Save, check and upload to the Hub: what `salzoo publish` does, with all its checks.

        Args:
            repo: `ORG/REPO`; created if it does not exist.
            license: As for `save_pretrained`.
            options: `private`, `dry_run`, `version`, `keep_card` and `token`, as
                `salzoo.checkpoint.publishing.publish` takes them.

        Raises:
            SpecError: As `save_pretrained`, or if `repo` is not `ORG/REPO`.
            WeightsError: As `save_pretrained`.
            PublishError: If the checkpoint is not fit to be published, its card was edited on the Hub, or the Hub
                refuses. Weights that nobody measured, or that changed since, are not fit.
        """
        from salzoo.checkpoint.publishing import publish

        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            self.save_pretrained(folder, license=license)
            if not read_config(folder).measured:
                raise PublishError(
                    f"these weights of {type(self).__name__} have no measured numbers: save_pretrained(FOLDER), then "
                    "`salzoo evaluate FOLDER --data SET --root DIR --record` and `salzoo publish FOLDER --repo "
                    f"{repo}`."
                )
            return publish(folder, repo, **options)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's also takes files of hyper-parameters
        cls, checkpoint_path: str | Path, map_location: Any = None, **options: Any
    ) -> Self:
        """Load what Lightning wrote during training; the file alone is enough.

        Args:
            checkpoint_path: A `.ckpt` file of `salzoo fit` or of any Lightning trainer.
            map_location: Device to load onto; None for the CPU.
            options: Training options, as `salzoo.load` takes them; for a model that is not in the registry, arguments
                of its constructor.

        Raises:
            WeightsError: If it is no checkpoint of this model.
        """
        own: Any = None if cls.__module__.startswith(f"{__package__}.") else cls  # a base class builds no network
        return cls._checked(load_lightning(Path(checkpoint_path), map_location, options, own), checkpoint_path)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep in Lightning's file which model this is and how it is trained; numbers of other weights are left out."""
        config = None if self.config is None else replace(self.known_config(), sha256=None, measured=())
        content = {"config": config, "training": self.training_config}
        checkpoint[LIGHTNING_KEY] = {key: None if value is None else asdict(value) for key, value in content.items()}

    def forget_measurements(self) -> None:
        """Before weights change: forget what was recorded and measured of them, but not what they have seen."""
        if self.config is None or self.config.sha256 is None:
            return
        made = self.config.provenance
        if made is not None:
            parent = Parent(self.config.model, self.config.tag, self.config.sha256)
            command = f"not recorded: trained on from {parent.model}.{parent.tag}"
            made = replace(made, command=command, commit="", recipe={}, versions={}, halved=None, parent=parent)
        self.config = replace(self.config, sha256=None, measured=(), provenance=made)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the file's statistics as fitted; what only training needs may differ, unless training goes on."""
        self.statistics_fitted = True
        if self._trainer is not None and self._trainer.state.fn == "fit":
            return
        own, state = self.state_dict(), checkpoint["state_dict"]
        for name in {*own, *state}:
            fits = name in own and name in state and own[name].shape == state[name].shape
            if not name.startswith("network.") and not fits:
                state.pop(name, None)
                state |= {name: own[name]} if name in own else {}

    @classmethod
    def _checked(cls, model: Any, source: object) -> Self:
        if not isinstance(model, cls):
            raise SpecError(f"{source} holds a {type(model).__name__}: call this on that class, or on SaliencyModel.")
        return model

    def known_config(self) -> Config:
        """Return `config` with the views, the temperature and the preprocessing that this model has by now.

        Raises:
            SpecError: If the model was built by its class.
        """
        if self.config is None:
            raise SpecError(
                f"{type(self).__name__} was built by its class, so its name is not known: build it by salzoo.load, "
                "after salzoo.register(YAML) if it is a model of your own."
            )
        neutral = {"tta": [[1.0, False]], "temperature": 1.0}
        own = {"tta": as_json(self.tta), "temperature": self.temperature}
        changed = {key: own[key] for key in neutral if own[key] != self.config.network.get(key, neutral[key])}
        preprocess = as_json(asdict(self.preprocess))
        return replace(self.config, network={**self.config.network, **changed}, preprocess=preprocess)
