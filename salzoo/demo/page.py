"""The page: its layout, and which control calls which function. Everything that it computes is in `functions`.

Nothing is fetched from elsewhere: fonts are the system's, and images travel inside the page.
"""

from __future__ import annotations

import base64
import html
import io
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageOps

from salzoo.demo import functions
from salzoo.demo.functions import Prediction
from salzoo.demo.upkeep import make_room
from salzoo.errors import SalzooError, SpecError
from salzoo.images.painting import HOUSE, OPACITY

MISSING = 'the page needs gradio: pip install "salzoo[demo]"'
UPLOAD = "64mb"
KEPT_S = 3600
"""How long uploads, maps and downloads are kept, in seconds."""
CLEANED_EVERY_S = 600
MOST_KEPT = 4_000_000_000
"""Bytes that uploads, maps and downloads of all visitors may take; beyond it, the oldest are removed."""
LOOKED_AFTER_EVERY_S = 1.0
VISITORS = 20
"""Visitors whose last maps are kept in memory; those who were there first are forgotten."""
NO_SECOND = "none"
FOG = "fog"
_SHOWN = 1000
"""Longest side in pixels of an image as the page shows it."""
_THUMB = 160
_SITE = Path(__file__).parent
_SAMPLE_CLICKED = """element.addEventListener("click", (event) => {
  const sample = event.target.closest(".sample");
  if (sample) trigger("chosen", { index: Number(sample.dataset.index) });
});"""
_UPLOADED = """(photo, shown) => {
  if (!photo) return shown;
  const safe = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const name = safe(photo.orig_name ?? "");
  const image = `<div class="soon"><img alt="${name}" draggable="false" src="${safe(photo.url ?? "")}"></div>`;
  return `<div class="panes"><figure>${image}<figcaption><b>${name}</b></figcaption></figure></div>`;
}"""
"""Shows an image in the visitor's browser as soon as it is there, until its maps are."""


def launch(host: str | None = None, port: int | None = None, *, announce: Callable[[str], None] = print) -> None:
    """Serve the page until the process is interrupted; what visitors uploaded is removed at the end.

    Args:
        host: Address to listen on; None takes `GRADIO_SERVER_NAME`, as a Hugging Face Space sets it, else 127.0.0.1.
        port: Port; None takes `GRADIO_SERVER_PORT`, else the first free one from 7860.
        announce: Called with the address when the page can be opened.

    Raises:
        SpecError: If gradio is not installed.
    """
    with TemporaryDirectory(prefix="salzoo_demo_") as folder:
        page = build(Path(folder))
        _bound_headers()
        named = f"[{host}]" if host is not None and ":" in host else host  # gradio wants IPv6 as in a URL
        _, address, _ = page.launch(
            server_name=named, server_port=port, prevent_thread_lock=True, quiet=True, **launch_options()
        )
        announce(address)
        try:
            while True:
                time.sleep(LOOKED_AFTER_EVERY_S)
                make_room(Path(folder, "visitors"), MOST_KEPT)
        finally:
            page.close(verbose=False)


def _bound_headers() -> None:
    """Let gradio's server parse HTTP by h11, which takes 64 KB of headers; httptools, where installed, has no limit."""
    from uvicorn.config import HTTP_PROTOCOLS

    HTTP_PROTOCOLS["auto"] = HTTP_PROTOCOLS["h11"]


def launch_options() -> dict[str, Any]:
    """Return what the page asks of gradio's server: nothing from elsewhere, nothing recorded, nothing shared."""
    import gradio as gr

    return {
        "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        "css": (_SITE / "page.css").read_text(encoding="utf-8"),
        "footer_links": ["api"],
        "max_file_size": UPLOAD,
        "state_session_capacity": VISITORS,
        "run_history": False,
        "share": False,
        "ssr_mode": False,
        "pwa": False,
    }


def build(folder: Path) -> Any:
    """Return the page, a `gradio.Blocks`.

    Args:
        folder: An existing folder, of this process alone: for the sample images, and in `visitors/`, where gradio
            cleans up, for what is uploaded and downloaded.

    Raises:
        SpecError: If gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: it would ask for its newest version
    try:
        import gradio as gr
    except ImportError as error:
        raise SpecError(MISSING) from error
    models = functions.loadable_models()
    visitors = folder / "visitors"
    os.environ["GRADIO_TEMP_DIR"] = str(visitors)
    for part in (visitors, folder / "samples"):
        part.mkdir()
    samples = functions.write_examples(folder / "samples")
    with gr.Blocks(title="salzoo", analytics_enabled=False, delete_cache=(CLEANED_EVERY_S, KEPT_S)) as page:
        state = gr.State(None, time_to_live=KEPT_S)
        gr.Markdown("# Where do people look in this image?", elem_id="title")
        with gr.Row(elem_id="page"):
            with gr.Column(scale=1, min_width=270):
                photo = gr.File(label="Image", file_types=["image"], height=120, elem_id="photo")
                first = gr.Dropdown(models, value=models[0], label="Model", elem_id="model")
                second = gr.Dropdown(
                    [NO_SECOND, *models], value=NO_SECOND, label="Second model", elem_id="second_model"
                )
                gallery = gr.HTML(_samples(samples), js_on_load=_SAMPLE_CLICKED, elem_id="samples")
                with gr.Accordion("Colours and contours", open=False, elem_id="look"):
                    colours = gr.Dropdown(_colormaps(), value=HOUSE, label="Colours", elem_id="colours")
                    alpha = gr.Slider(0, 1, value=OPACITY, step=0.05, label="Opacity", elem_id="alpha")
                    contours = gr.CheckboxGroup(
                        [("50 %", 0.5), ("80 %", 0.8), ("95 %", 0.95)],
                        value=[0.5, 0.8],
                        label="Contours around this share of attention",
                        elem_id="contours",
                    )
            with gr.Column(scale=3, min_width=560):
                problem = gr.HTML("", elem_id="problem")
                maps = gr.HTML(_WELCOME, js_on_load=(_SITE / "page.js").read_text(encoding="utf-8"), elem_id="maps")
                with gr.Row(elem_id="box_row"):
                    box = gr.Textbox(
                        label="Box: x0, y0, x1, y1 in pixels",
                        info="Drag one on an image, or type it and press Enter.",
                        min_width=270,
                        elem_id="box",
                    )
                    shares = gr.HTML("", min_width=270, elem_id="shares")
                files = gr.File(label="Downloads", file_count="multiple", interactive=False, elem_id="files")
                with gr.Accordion("Score with fixations", open=False, elem_id="score"):
                    table = gr.File(
                        label="Table: image, x, y (pixels) in CSV, TSV or Parquet", height=100, elem_id="table"
                    )
                    options = gr.Textbox(
                        label="Options of the table",
                        info='As in study.json, for instance {"origin": 1} or {"units": "fractions"}.',
                        elem_id="options",
                    )
                    scores = gr.HTML("", elem_id="scores")
        look = [colours, alpha, contours]
        measured = (_measure, [state, box], shares)
        scored = (_score, [state, table, options], scores)
        photo.change(None, [photo, maps], maps, js=_UPLOADED, api_visibility="private")
        predicted = gr.on(
            [photo.change, first.input, second.input],
            _predict(visitors),
            [photo, first, second, *look, state],
            [problem, state, maps, files, box],
            api_name="predict",
            trigger_mode="always_last",
            show_progress_on=maps,
        )
        predicted.then(*measured, api_visibility="private").then(*scored, api_visibility="private")
        gallery.chosen(_with_data(_pick(list(samples)), gr.EventData), None, photo, api_visibility="private")
        gr.on(
            [each.input for each in (colours, contours)] + [alpha.release], _show, [state, *look], maps, api_name="show"
        )
        box.submit(*measured, api_name="measure")
        maps.drawn(_with_data(_drawn, gr.EventData), None, box, api_visibility="private").then(
            *measured, api_visibility="private"
        )
        gr.on([table.change, options.submit], *scored, api_name="score")
    return page


_WELCOME = '<p class="hint">Drop an image, or choose one of the samples.</p>'
_LEGEND = (
    '<p class="hint">Bright: people are likely to look there. A contour holds the share of attention that is chosen '
    "under “Colours and contours”, 50 % and 80 % at first. Drag a box on any of the images to measure it.</p>"
)
_GONE = '<p class="hint">Choose an image first.</p>'


def _predict(folder: Path) -> Callable[..., tuple[Any, ...]]:
    """Return what is called when there is another image or model."""

    def predict(
        photo: str | None,
        model: str,
        second_model: str,
        colours: str,
        opacity: float,
        contours: list[float],
        before: Prediction | None,
    ) -> tuple[Any, ...]:
        if photo is None:
            return "", None, _WELCOME, None, ""
        import gradio as gr

        try:
            names = [name for name in (model, second_model) if name != NO_SECOND]
            found = functions.predict(Path(photo), names)
            shown = _show(found, colours, opacity, contours)
            place = folder / secrets.token_urlsafe(16)  # whoever knows a file's address can fetch it
            place.mkdir()
            files = [str(path) for path in functions.write_files(found, place)]
        except (SalzooError, MemoryError) as error:
            return _problem(error), None, _WELCOME, None, ""
        same = before is not None and before.path == found.path
        return "", found, shown, files, gr.skip() if same else ""

    return predict


def _show(prediction: Prediction | None, colours: str, opacity: float, contours: list[float]) -> str:
    """Return the image and the overlay of each model, side by side."""
    if prediction is None:
        return _GONE
    height, width = prediction.size
    small = functions.shrunk(prediction, _SHOWN)
    image = small.image
    panes = [(prediction.path.name, f"{width} × {height} pixels", Image.fromarray(functions.as_8_bit(image)))]
    try:
        for name, each in small.maps.items():
            shares = sorted(set(contours))  # a client may send one a hundred thousand times
            painted = (
                each.fog(image) if colours == FOG else each.overlay(image, shares, colormap=colours, alpha=opacity)
            )
            panes.append((name, functions.summary(name), painted))
    except (SalzooError, MemoryError) as error:
        return _problem(error)
    figures = "".join(
        f'<figure><div class="pane"><img alt="{html.escape(title)}" draggable="false" src="{_as_url(each)}"></div>'
        f"<figcaption><b>{html.escape(title)}</b> {html.escape(text)}</figcaption></figure>"
        for title, text, each in panes
    )
    return f'<div class="panes" data-width="{width}" data-height="{height}">{figures}</div>{_LEGEND}'


def _measure(prediction: Prediction | None, box: str) -> str:
    """Return a table of what each model gives to the box."""
    if not box.strip():
        return ""
    if prediction is None:
        return _GONE
    try:
        found = functions.measure(prediction, functions.parse_box(box))
    except SalzooError as error:
        return _problem(error)
    area = next(iter(found.values())).area_share
    rows = [(name, _percent(each.share), f"{each.lift:.2f}") for name, each in found.items()]
    return _table(("model", "share of attention", "lift"), rows) + (
        f'<p class="hint">The box covers {_percent(area)} of the image; lift is attention over area.</p>'
    )


def _score(prediction: Prediction | None, table: str | None, options: str) -> str:
    """Return a table of how well each model predicts the fixations."""
    if table is None:
        return ""
    if prediction is None:
        return _GONE
    try:
        found = functions.score(prediction, Path(table), options)
    except (SalzooError, MemoryError) as error:
        return _problem(error)
    rows = [(name, *(f"{value:.3f}" for value in values)) for name, values in found.rows.items()]
    notes = " ".join((f"{found.fixations} fixations on this image.", *found.notes))
    return _table(("model", *found.metrics), rows) + f'<p class="hint">{html.escape(notes)}</p>'


def _pick(samples: Sequence[Path]) -> Callable[[Any], str]:
    """Return what is called when a sample image is clicked; it stands for an upload of the same file."""
    return lambda event: str(samples[event.index])


def _drawn(event: Any) -> str:
    """Return the text of the box that was dragged."""
    return str(event.box)


def _with_data(function: Callable[[Any], str], kind: type) -> Callable[[Any], str]:
    """Tell gradio, which looks at annotations, that a function wants the event; gradio's types are no globals here."""

    def called(event: Any) -> str:
        return function(event)

    called.__annotations__ = {"event": kind}
    return called


def _problem(error: BaseException) -> str:
    text = "the server is out of memory; try a smaller image" if isinstance(error, MemoryError) else str(error)
    return f'<p class="problem" role="alert">{html.escape(text)}</p>'


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _samples(samples: dict[Path, str]) -> str:
    """Return a button for each sample image, and what is to be said of their origin."""
    buttons = []
    for number, path in enumerate(samples):
        with Image.open(path) as image:
            small = ImageOps.fit(image, (_THUMB, _THUMB))
        name = path.stem.replace("_", " ")
        buttons.append(
            f'<button type="button" class="sample" data-index="{number}" title="{name}">'
            f'<img alt="{name}" src="{_as_url(small)}"></button>'
        )
    told = "; ".join(f"{path.stem}: {text}" for path, text in samples.items() if text)
    return f'<p class="label">Or one of these</p><div class="samples">{"".join(buttons)}</div>' + (
        f'<p class="hint">{html.escape(told)}.</p>' if told else ""
    )


def _colormaps() -> list[tuple[str, str]]:
    """Return the ways to paint a map, as (label, name)."""
    more = ("viridis", "inferno", "jet") if find_spec("matplotlib") is not None else ()
    return [(name, name) for name in (HOUSE, "grey", *more)] + [("fog: what is not looked at fades", FOG)]


def _as_url(image: Image.Image) -> str:
    """Return an image as the page shows it, as a URL that holds it."""
    image.thumbnail((_SHOWN, _SHOWN))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
