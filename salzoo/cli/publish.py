"""`salzoo publish`: upload a checkpoint to the Hugging Face Hub."""

from __future__ import annotations

import argparse

from salzoo.cli._parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "publish", "Check a checkpoint and upload it to the Hugging Face Hub.", run)
    parser.add_argument("name", metavar="NAME", help="model, model.tag or checkpoint folder")
    parser.add_argument("--repo", required=True, metavar="ORG/REPO", help="repository, created if it does not exist")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    parser.add_argument("--dry-run", action="store_true", help="only check, and show what would be uploaded")
    parser.add_argument("--version", metavar="TAG", help="tag of the commit, default v and the version of salzoo")
    parser.add_argument("--pin", action="store_true", help="write repository, commit and sha256 into the model's YAML")
    parser.add_argument("--keep-card", action="store_true", help="do not replace a card that was edited on the Hub")


def run(arguments: argparse.Namespace) -> int:
    """Upload, and print the files and the commit."""
    from salzoo.checkpoint.config import WEIGHTS
    from salzoo.checkpoint.publishing import publish
    from salzoo.registry import HubPin, write_pin

    options = {"version": arguments.version} if arguments.version else {}
    done = publish(
        arguments.name,
        arguments.repo,
        private=arguments.private,
        dry_run=arguments.dry_run,
        keep_card=arguments.keep_card,
        **options,
    )
    for name, (size, sha256) in done.files.items():
        print(f"{size:>12,}  {sha256[:12]}  {name}")
    if done.commit is None:
        print(f"Fit to be published as {done.repo}, version {done.tag}; nothing was uploaded (--dry-run).")
        return 0
    what = "published" if done.changed else "has this already"
    print(f"{done.repo} {what}: version {done.tag}, commit {done.commit}")
    print(f'salzoo.load("hf://{done.repo}@{done.commit}")')
    if arguments.pin:
        model, _, tag = done.name.partition(".")
        pin = HubPin(done.repo, done.commit, done.files[WEIGHTS][1])
        print(f"Pinned {done.name} in {write_pin(model, tag, pin)}")
    return 0
