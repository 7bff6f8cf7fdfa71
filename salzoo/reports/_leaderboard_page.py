"""The page of a leaderboard: one HTML file without an outer asset, which reads as well without scripts.

Whatever comes from outside (names of rows, images, datasets and notes) goes through `escape`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from salzoo.evaluation.baselines import ROWS
from salzoo.metrics import METRICS

BODY = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
"""

STYLE = """
.leaderboard .wide{overflow-x:auto}
.leaderboard table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums}
.leaderboard :is(th,td){padding:.25em .6em;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}
.leaderboard :is(th,td):first-child{text-align:left;position:sticky;left:0;z-index:1}
.leaderboard :is(th,td):first-child{background:var(--md-default-bg-color,Canvas)}
.leaderboard th button{all:unset;cursor:pointer;font-weight:600}
.leaderboard th button:focus-visible{outline:2px solid}
.leaderboard th[aria-sort=ascending] button::after{content:" \\25b4"}
.leaderboard th[aria-sort=descending] button::after{content:" \\25be"}
.leaderboard tr.baseline td{color:color-mix(in srgb,currentColor 70%,transparent)}
.leaderboard tr.baseline td:first-child::after{content:" baseline";font-size:80%}
.leaderboard small{opacity:.7}
.leaderboard svg{max-width:100%;height:auto}
.leaderboard svg text{font:11px system-ui,sans-serif;fill:currentColor}
.leaderboard .maps{display:flex;flex-wrap:wrap;gap:1em}
.leaderboard figure{margin:0;width:21em;max-width:100%}
.leaderboard figure div{display:flex;gap:.5em}
.leaderboard figure img{width:10em;min-width:0;image-rendering:auto}
.leaderboard figcaption{overflow-wrap:anywhere}
"""

SCRIPT = """
for (const table of document.querySelectorAll(".leaderboard table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.dataset.better) return;
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const up = before ? before === "descending" : head.dataset.better === "low";
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows], value = row => row.cells[column].dataset.value;
      const known = rows.filter(row => value(row) !== undefined);
      const less = (a, b) => column ? value(a) - value(b) : value(a).localeCompare(value(b));
      known.sort((a, b) => up ? less(a, b) : less(b, a));
      table.tBodies[0].append(...known, ...rows.filter(row => value(row) === undefined));
    });
  });
}
"""
LETTER, NEAR = 5.8, 8
"""Width of a letter, and how far a name is from its dot before a line joins them."""

ABOUT = (
    "Mean over images ± half of its 95 % interval. A click on a heading sorts. Baselines are no models: what people "
    "predict of each other, or what knows nothing of the image."
)

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 760, 394, 50, 130, 40, 26


def page(contents: Sequence[Mapping[str, Any]]) -> str:
    """Return the HTML of a leaderboard.

    Args:
        contents: JSON of one evaluation a dataset, as `salzoo.reports.leaderboard` describes it.
    """
    title = f"Leaderboard: {', '.join(content['dataset'] for content in contents)}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{BODY}{STYLE}</style></head><body>",
            f'<main class="leaderboard"><h1>{escape(title)}</h1><p>{ABOUT}</p>',
            *(f"<h2>{escape(content['dataset'])}</h2>\n{section(content)}" for content in contents),
            f"</main><script>{SCRIPT}</script></body></html>",
            "",
        ]
    )


def section(content: Mapping[str, Any]) -> str:
    """Return the table, the chart and the maps of one dataset, for an element of the class `leaderboard`."""
    about = (
        f"Split {content['split']}, {content['images']} images, convention {content['convention']}, "
        f"information gain over {content['baseline']}."
    )
    times = f"Milliseconds for one image: {content['machine']}." if content.get("machine") else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in content["notes"])
    return "\n".join(
        [
            f"<p>{escape(about)} {escape(times)}</p>",
            f"<ul>{notes}</ul>" if notes else "",
            _table(content),
            _chart(content),
            _maps(content),
        ]
    )


def _table(content: Mapping[str, Any]) -> str:
    rows = content["rows"]
    metrics = [name for name in METRICS if any(name in scores for scores in rows.values())]
    times, commits = content.get("milliseconds", {}), content.get("commits", {})
    better = {name: "high" if METRICS[name].higher_is_better else "low" for name in metrics}
    heads = ['<th scope="col" data-better="low">model</th>']
    heads += [f'<th scope="col" data-better="{better[m]}">{escape(METRICS[m].heading())}</th>' for m in metrics]
    heads += ['<th scope="col" data-better="low">ms ↓</th>'] * bool(times) + ['<th scope="col">commit</th>']
    lines = []
    for row in sorted(rows, key=lambda row: -_number(rows[row].get("nss"), -math.inf)):
        ends = content["intervals"].get(row, {})
        cells = [f'<td data-value="{escape(row)}">{escape(row)}</td>']
        cells += [_score(rows[row].get(metric), ends.get(metric)) for metric in metrics]
        cells += [_cell(times.get(row), "{:.1f}")] * bool(times)
        cells.append(f"<td><small>{escape(_short(commits.get(row, content.get('commit', ''))))}</small></td>")
        kind = ' class="baseline"' if row in ROWS else ""
        lines.append(f"<tr{kind}>{''.join(cells)}</tr>")
    head, body = f"<thead><tr>{''.join(heads)}</tr></thead>", f"<tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide"><table class="scores">{head}{body}</table></div>'


def _score(value: Any, ends: Any) -> str:
    low, high = ends if ends else (None, None)
    half = "" if low is None or high is None else f" <small>± {(high - low) / 2:.3f}</small>"
    return _cell(value, "{:z.3f}", half)


def _cell(value: Any, form: str, more: str = "") -> str:
    number = _number(value, math.nan)
    return "<td>–</td>" if math.isnan(number) else f'<td data-value="{number!r}">{form.format(number)}{more}</td>'


def _number(value: Any, other: float) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else other


def _short(commit: Any) -> str:
    """Return a commit as people write it; a version as it is."""
    text = str(commit)
    return text if " " in text else text[:7] + "+" * text.endswith("+changes")


def _chart(content: Mapping[str, Any]) -> str:
    """Return NSS against milliseconds, on a logarithmic axis, of the rows that have both."""
    times = content.get("milliseconds", {})
    points = [
        (float(times[row]), float(scores["nss"]), row)
        for row, scores in content["rows"].items()
        if _number(times.get(row), 0) > 0 and not math.isnan(_number(scores.get("nss"), math.nan))
    ]
    if not points:
        return ""
    lowest, highest = (f(math.log10(t) for t, *_ in points) for f in (min, max))
    scores = [nss for _, nss, _ in points]
    least, most = math.floor(min(0, *scores) * 2) / 2, math.ceil(max(scores) * 2) / 2
    most += (most == least) * 0.5

    def x(time: float) -> float:
        return LEFT + 10 + (math.log10(time) - lowest) / (highest - lowest or 1) * (WIDTH - LEFT - RIGHT - 10)

    def y(nss: float) -> float:
        return HEIGHT - BOTTOM - (nss - least) / (most - least) * (HEIGHT - BOTTOM - TOP)

    ticks = [a * 10**b for b in range(math.floor(lowest), math.ceil(highest) + 1) for a in (1, 2, 5)]
    marks = [_text(x(t), HEIGHT - BOTTOM + 16, f"{t:g}", "middle") for t in ticks if lowest <= math.log10(t) <= highest]
    step = max(0.5, 10 ** math.floor(math.log10(most - least)) / 2)  # at most 20 lines, however far a score is off
    for number in range(math.floor((most - least) / step) + 1):
        value = least + number * step
        marks.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="currentColor" stroke-opacity=".15"/>')
        marks.append(_text(LEFT - 6, y(value) + 4, f"{value:.1f}", "end"))
    marks.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "milliseconds for one image", "middle"))
    marks.append(_text(LEFT - 6, TOP - 12, "NSS", "end"))
    dots = [(x(time), y(nss)) for time, nss, _ in points]
    labels = _labels(dots, [row for *_, row in points])
    for (across, down), (time, nss, row), (left, height) in zip(dots, points, labels, strict=True):
        told = escape(f"{row}: NSS {nss:.3f}, {time:.1f} ms")
        near, anchor = (left, "start") if left > across else (left + LETTER * len(row), "end")
        if abs(height - down) > NEAR:
            ends = f'x1="{across:.1f}" y1="{down:.1f}" x2="{near:.1f}" y2="{height:.1f}"'
            marks.append(f'<line {ends} stroke="currentColor" stroke-opacity=".3"/>')
        marks.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="#c2410c"><title>{told}</title></circle>')
        marks.append(_text(near, height + 4, row, anchor))
    label = escape(f"NSS against milliseconds on {content['dataset']}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{label}">{"".join(marks)}</svg>'


def _labels(dots: Sequence[tuple[float, float]], names: Sequence[str]) -> list[tuple[float, float]]:
    """Return left end and middle of the name of each dot, the nearest place that no other name or dot is in."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    found = []
    for (x, y), name in zip(dots, names, strict=True):
        wide = LETTER * len(name)
        places = [
            (left, y + sign * step)
            for step in range(0, HEIGHT, 3)
            for sign in (1, -1)
            for left in (x + 7, x - 7 - wide)
            if LEFT <= left <= WIDTH - wide and TOP <= y + sign * step <= HEIGHT - BOTTOM - 5
        ]
        boxes = [(left, middle - 5, left + wide, middle + 5) for left, middle in places]
        free = (i for i, box in enumerate(boxes) if not any(_meet(box, other) for other in taken))
        chosen = next(free, None)
        found.append((x + 7, y) if chosen is None else places[chosen])
        taken += [] if chosen is None else [boxes[chosen]]
    return found


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _maps(content: Mapping[str, Any]) -> str:
    """Return the best and the worst image of each model, as maps alone."""
    figures = []
    for row in sorted(content.get("extremes", {}), key=lambda row: -_number(content["rows"][row].get("nss"), 0)):
        if row in ROWS:
            continue
        ends = [(end, content["extremes"][row][end]) for end in ("best", "worst")]
        shown = "".join(_image(extreme) for _, extreme in ends if "png" in extreme)
        told = "; ".join(f"{end} {escape(e['image'])} ({e['score']:.2f})" for end, e in ends)
        figures.append(f"<figure><div>{shown}</div><figcaption><b>{escape(row)}</b>: {told}</figcaption></figure>")
    heading = "<h3>Best and worst image by NSS, as the model's map</h3>"
    return f'{heading}<div class="maps">{"".join(figures)}</div>' if figures else ""


def _image(extreme: Mapping[str, Any]) -> str:
    what = escape(f"map of {extreme['image']}")
    return f'<img src="data:image/png;base64,{escape(extreme["png"])}" alt="{what}" loading="lazy">'
