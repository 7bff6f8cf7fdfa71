"""A page for each model, from its YAML, its card, its checkpoint and what was measured, and the table of all."""

from __future__ import annotations

import textwrap

import facts
import yaml
from tree import REPOSITORY, Tree

from salzoo._markdown import table
from salzoo.checkpoint.card import OVERLAYS
from salzoo.checkpoint.describe import info
from salzoo.metrics import METRICS
from salzoo.registry import RECOMMENDED, ModelSpec, Release, Variant, prose_file, read_spec, spec_files, spec_names
from salzoo.reports.citation import bibtex

HUB = REPOSITORY / "hub"
TRAINING = {"gradient": "by gradient", "closed_form": "fitted in one pass", "none": "nothing to learn"}


def add(tree: Tree) -> list[object]:
    """Add the table of all models and a page for each; return their menu."""
    tree.add("models/index.md", overview())
    for name in spec_names():
        spec = read_spec(name)
        checkpoint = [HUB / f"{name}.{tag}" / "README.md" for tag in spec.variants]
        tree.add(f"models/{name}.md", page(spec), prose_file(name), *checkpoint, spec_files()[name])
    return ["models/index.md", *(f"models/{name}.md" for name in spec_names())]


def sheet(name: str) -> str | None:
    """Return where a model's overlays of eight images are, in `hub`; None if it has none."""
    places = (f"{name}.{read_spec(name).default}/sheet.jpg", f"cards/{name}.jpg")
    return next((place for place in places if (HUB / place).is_file()), None)


def overview() -> str:
    """Return the table of all models, the best NSS first."""
    header = ["model", "year", "what", "NSS", "CC", "ms", "MB", "weights"]
    ranked = sorted(spec_names(), key=lambda name: -(facts.score(facts.best_row(name), "nss") or -1))
    lines = table(header, (_row(read_spec(name)) for name in ranked))
    threads = facts.results("latency")["600x800"]["threads"]
    said = (
        f"Start with [`{RECOMMENDED}`]({RECOMMENDED}.md). A click on a heading sorts the table. NSS and CC are those "
        "of the default checkpoint on the test split of OSIE, ms is the median time of one image of 600 x 800 on a CPU "
        f"({threads} threads), MB the size of the weights that salzoo ships."
    )
    kinds = (
        "Shipped: trained here, on OSIE, EyeCrowd and Scene500. Import: none are shipped, but "
        "[the authors' own](../authors_weights.md) can be imported. Not needed: nothing to learn."
    )
    return (
        "\n\n".join(
            [
                "---\nhide: [toc]\n---",
                "# Models",
                said,
                '<div class="sortable" markdown>',
                "\n".join(lines),
                "</div>",
                kinds,
            ]
        )
        + "\n"
    )


def _row(spec: ModelSpec) -> list[str]:
    row = facts.best_row(spec.name)
    has = facts.weights(spec.name, spec.default) is not None
    kind = "not needed" if spec.training == "none" else "shipped" if has else "import" if spec.authors else "none"
    return [
        f"[{spec.name}]({spec.name}.md)",
        str(spec.paper.year) if spec.paper else facts.NOTHING,
        spec.summary,
        facts.shown(facts.score(row, "nss")),
        facts.shown(facts.score(row, "cc")),
        facts.milliseconds(row),
        facts.megabytes(spec.name, spec.default),
        kind,
    ]


def page(spec: ModelSpec) -> str:
    """Return a model's page; links are those of its card in `hub/cards`."""
    prose = prose_file(spec.name).read_text(encoding="utf-8").strip()
    place = sheet(spec.name)
    # A card without a checkpoint shows its overlays itself.
    overlays = OVERLAYS.replace("(sheet.jpg)", f"(../{place})") if place and not place.startswith("cards") else ""
    parts = [
        f"# {spec.name}",
        spec.summary,
        "\n".join(table(["", ""], _facts(spec))),
        _use(spec),
        overlays,
        prose,
        _measured(spec),
        _reported(spec),
        "## Variants",
        *(_variant(spec, tag, variant) for tag, variant in spec.variants.items()),
        _releases(spec),
        _citation(spec),
        "## Classes",
        f"::: {spec.class_path.rpartition('.')[0]}\n"
        "    options: {show_root_heading: false, show_root_toc_entry: false}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(spec: ModelSpec) -> list[list[str]]:
    row, paper = facts.best_row(spec.name), spec.paper
    known = info(spec.name)
    found = {
        "Paper": f"[{paper.title}]({paper.url})" if paper and paper.url else paper.title if paper else "",
        "Authors": paper.authors if paper else "",
        "Published": f"{paper.venue} {paper.year}" if paper else "",
        "Authors' code": f"<{paper.code}>" if paper and paper.code else "",
        "Training": TRAINING[spec.training],
        "Default checkpoint": f"`{row}`" if spec.loadable else "none: `weights=None` and train, or import",
        "Backbone": f"`{known['backbone']}`" if known["backbone"] else "",
        "Parameters": facts.parameters(spec.name, spec.default),
        "Size of the weights": f"{facts.megabytes(spec.name, spec.default)} MB",
        "Licence of the weights": known["license"] or "",
        "One image of 600 x 800": f"{facts.milliseconds(row)} ms",
        "NSS on OSIE, test split": facts.shown(facts.score(row, "nss")),
    }
    return [[key, value] for key, value in found.items() if value and not value.startswith(facts.NOTHING)]


def _use(spec: ModelSpec) -> str:
    if not spec.loadable:
        return ""
    return (
        f'```python\nimport salzoo\n\nm = salzoo.load("{spec.name}").predict("photo.jpg")\nm.save("map.png")\n```\n\n'
        f"```\nsalzoo predict photo.jpg -m {spec.name} -o maps\n```"
    )


def _measured(spec: ModelSpec) -> str:
    rows = list[list[str]]()
    commits = set[str]()
    for dataset, title in facts.SETS.items():
        result = facts.results(dataset)
        for tag in spec.variants:
            row = f"{spec.name}.{tag}"
            if row in result["rows"]:
                scores = result["rows"][row]
                rows.append([f"`{row}`", title, str(result["images"]), *(facts.shown(scores.get(m)) for m in METRICS)])
                commits.add(result["commits"][row][:12])
    if not rows:
        return ""
    header = ["", "test split of", "images", *(f"[{METRICS[m].heading()}](../../docs/metrics.md#{m})" for m in METRICS)]
    commit = ", ".join(f"`{each}`" for each in sorted(commits))
    note = (
        f"Convention `mit`; `make table` at {'commits' if len(commits) > 1 else 'commit'} {commit}. `ig` is in bits a "
    )
    return "\n".join(
        ["## Measured", "", *table(header, rows), "", note + "fixation over the centre bias of the training split."]
    )


def _reported(spec: ModelSpec) -> str:
    if not spec.reported:
        return ""
    rows = ([r.dataset, r.metric, f"{r.value:g}", _plain(r.where)] for r in spec.reported)
    return "\n".join(
        [
            "## Reported by others",
            "",
            "Of the published network, on other images and with other weights than those above.",
            "",
            *table(["dataset", "metric", "value", "where"], rows),
        ]
    )


def _variant(spec: ModelSpec, tag: str, variant: Variant) -> str:
    options = {"network": variant.network, "preprocess": variant.preprocess, "recipe": variant.recipe}
    text = yaml.safe_dump({k: v for k, v in options.items() if v}, sort_keys=False, default_flow_style=None, width=100)
    default = ", the default" if tag == spec.default and len(spec.variants) > 1 else ""
    described = f"### {spec.name}.{tag}\n\n{variant.summary.rstrip('.')}{default}."
    if text.strip() == "{}":
        return described
    return f'{described}\n\n??? note "Options and recipe"\n\n' + textwrap.indent(f"```yaml\n{text}```", "    ")


def _releases(spec: ModelSpec) -> str:
    if not spec.authors:
        return ""
    rows = ([f"`{r.name}`", _plain(r.summary), _licence(r), f"`{r.command(spec.name)}`"] for r in spec.authors)
    return "\n".join(
        [
            "## The authors' own weights",
            "",
            "salzoo ships none of these files, but imports them; where they are, and what is known of them:",
            f"[the authors' own weights](../../docs/authors_weights.md#{spec.name}).",
            "",
            *table(["release", "what", "licence", "command"], rows),
        ]
    )


def _licence(release: Release) -> str:
    return "none stated" if release.license == "LicenseRef-none" else release.license


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _citation(spec: ModelSpec) -> str:
    if spec.paper is None:
        return ""
    paper = spec.paper
    url = f" <{paper.url}>" if paper.url else ""
    text = f"{paper.authors}. *{paper.title}*. {paper.venue} {paper.year}.{url}"
    return f"## Citation\n\n{text}\n\n```bibtex\n{bibtex(spec.name)}\n```"
