"""What the parsers of the commands share. Nothing here imports torch."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from salzoo._process import starting
from salzoo.errors import SalzooError, SpecError

if TYPE_CHECKING:
    from salzoo.components.saliency_model import SaliencyModel


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are one line.

    Attributes:
        mixed: Whether files and names may stand anywhere among the options, not only side by side.
    """

    mixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As any parser's, for files and names wherever they stand, unless a `--` says that they come last."""
        if not self.mixed or "--" in args:
            return super().parse_known_args(args, namespace)
        self.mixed = False  # which calls this method
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixed = True

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line, without the usage dump."""
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` shows the options)\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]

MODEL_HELP = "model, model.tag, checkpoint folder or hf://ORG/REPO@REVISION"
ROOT_HELP = "folder of the dataset, or its parent folder"
SMOOTH_DEFAULTS = "average, density and median alone are average:2, density:2 and median:5"
LIGHTNING_HELP = (
    "All options of Lightning's command line are accepted too, and override the recipe: "
    "--trainer.max_epochs 3, --training.lr 1e-4, --data.batch_size 8."
)


def add_command(
    commands: Commands,
    name: str,
    text: str,
    run: Run,
    *,
    takes_lightning_options: bool = False,
    only_predicts: bool = False,
) -> Parser:
    """Add a command and return its parser.

    Args:
        commands: The commands of `salzoo`, or of one of its groups.
        name: Word that users type.
        text: One sentence for the help texts.
        run: Does the work of the parsed arguments and returns the exit code.
        takes_lightning_options: Whether options that the parser does not know are left for Lightning's.
        only_predicts: Whether it neither trains nor measures, so that its models can do without Lightning.
    """
    epilog = LIGHTNING_HELP if takes_lightning_options else None
    parser = commands.add_parser(name, help=text, description=text, epilog=epilog, allow_abbrev=False)
    parser.set_defaults(run=run, takes_lightning_options=takes_lightning_options, only_predicts=only_predicts)
    parser.mixed = not takes_lightning_options  # whose values would be taken for names
    return parser


def add_group(commands: Commands, name: str, text: str, metavar: str) -> Commands:
    """Add a word that is followed by a command of its own (`salzoo data check`), and return its commands."""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    return parser.add_subparsers(metavar=metavar, required=True)


def add_dataset(parser: Parser, *, required: bool = True, several: bool = False) -> None:
    """Add `--data` and `--root`.

    Args:
        parser: Parser of a command.
        required: Whether both must be given.
        several: Whether `--data` takes several names.
    """
    names = "name of the dataset: osie, salicon2017, folder (your own), ..."
    more = "; several are joined by commas" if several else ""
    parser.add_argument("--data", required=required, metavar="DATASET", help=names + more)
    parser.add_argument("--root", required=required, metavar="DIR", help=ROOT_HELP)


def add_device(parser: Parser) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda|mps|xpu",
        help="any device of torch's, cuda:1 for the second of several; default auto: a CUDA GPU if there is one",
    )


def positive(text: str) -> int:
    """Return the whole number that a word of the command line is, at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def given(arguments: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Return which of some options were given, as they are typed: `--per-observer` for `per_observer`."""
    values = {name: getattr(arguments, name) for name in names}
    return [f"--{name.replace('_', '-')}" for name, v in values.items() if not (v is None or v is False or v == [])]


def in_words(error: Exception) -> str:
    """Return in one line what went wrong: for the system's errors, which file it refused and why."""
    if isinstance(error, MemoryError):
        return f"out of memory ({error or 'nothing more is known'}); give it less at once"
    if not isinstance(error, OSError) or isinstance(error, SalzooError):
        return str(error)
    reason = error.strerror or str(error) or type(error).__name__
    step = {
        errno.EACCES: "check who may read and write there",
        errno.EPERM: "check who may read and write there",
        errno.EROFS: "choose a folder that can be written",
        errno.ENOSPC: "free some space, or write elsewhere",
        errno.EDQUOT: "free some space, or write elsewhere",
        errno.ENAMETOOLONG: "use a shorter name",
        errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    }.get(error.errno or 0)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{reason}" + (f"; {step}" if step else "")


def load_model(arguments: argparse.Namespace) -> SaliencyModel:
    """Load the model of `--model` onto the device of `--device`.

    Raises:
        SpecError: If there is no such device.
    """
    with starting():
        from salzoo.components.load import load

        return load(arguments.model, device=arguments.device, precision=getattr(arguments, "precision", "32-true"))


def lightning_options(arguments: argparse.Namespace) -> list[str]:
    """Return the options for Lightning's command line, with `--data` and `--root` among them."""
    options = list(arguments.rest)
    if arguments.data is not None:
        options += [f"--data.sets={json.dumps(arguments.data.split(','))}"]
    if arguments.root is not None:
        options += [f"--data.root={arguments.root}"]
    return options


def typed(arguments: argparse.Namespace) -> str:
    """Return the command as it was typed, for the record of a run."""
    return shlex.join(["salzoo", *arguments.words])


def print_outcome(folder: Path | None, command: str = "predict") -> int:
    """Print, in the first process alone, which checkpoint folder training wrote, and return the exit code.

    Args:
        folder: The checkpoint folder; None after a rehearsal.
        command: What uses it.
    """
    if folder is None:
        print("The rehearsal went well; nothing was written.")
        return 0
    from lightning.pytorch.utilities import rank_zero_only

    rank_zero_only(print)(f"Wrote {folder}; `salzoo {command} IMAGE -m {folder}` uses it.")
    return 0


def print_images(done: int, files: int, failed: Sequence[tuple[str, str]], output: Path, *, quiet: bool = False) -> int:
    """Print the counts, and why each image, shard or folder has no files; return the exit code.

    Args:
        done: Images that have their files.
        files: Number of files.
        failed: What was to be read, and why that was not possible.
        output: Folder of the files.
        quiet: Whether stdout is for something else.
    """
    told = f"{done} of {done + len(failed)} images, {files} files in {output}"
    print(told, file=sys.stderr if quiet else sys.stdout)
    for name, reason in failed:
        print(f"salzoo: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def check_writable(files: Iterable[Path]) -> None:
    """Check that files can be written, before hours of work that they are to hold.

    Raises:
        SpecError: If one cannot.
    """
    from salzoo._io import scratch_beside

    for path in files:
        if not path.parent.is_dir():
            raise SpecError(f"there is no folder {path.parent} to write {path.name} into.")
        if path.is_dir():
            raise SpecError(f"{path} is a folder: name a file in it.")
        if path.exists() and not path.is_file():  # /dev/stdout
            continue
        part = scratch_beside(path)
        try:
            part.touch()
            part.unlink()
        except OSError as error:
            raise SpecError(f"{path} cannot be written: {error.strerror or error}; choose another folder.") from error


def write_each(texts: dict[Path | None, str]) -> list[str]:
    """Write files, each whole or not at all, whatever becomes of the others; return what failed and why."""
    from salzoo._io import write_text

    failed = []
    for path, text in texts.items():
        try:
            if path is None:
                continue
            if path.exists() and not (path.is_file() or path.is_dir()):  # /dev/stdout is written to, not replaced
                path.write_text(text, encoding="utf-8")
            else:
                write_text(path, text)
        except OSError as error:
            failed.append(f"{path} could not be written: {error.strerror or error}")
    return failed
