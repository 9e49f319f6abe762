"""Reports as one HTML file that carries its pictures inside, and figures as PNG files."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from neurorbit.engine.plots.style import look
from neurorbit.engine.whole_files import write_atomically

_CSS = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --head: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --text: #e6e8ea; --soft: #a2abb5; --line: #3a4149; --head: #1e2328; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 0.5rem; }
section + h1 { margin-top: 4rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { margin: 0.5rem 0; max-width: 46rem; }
figure { margin: 1rem 0 1.5rem; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #ffffff; border-radius: 6px;
  border: 1px solid var(--line); padding: 0.4rem; }
figcaption { color: var(--soft); font-size: 0.9rem; margin-top: 0.4rem; max-width: 46rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { background: var(--head); white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
@media print { h2 { break-after: avoid; } figure { break-inside: avoid; } }
""".strip()

_MAIN, _END = "<main>", "</main>"


@dataclass(frozen=True)
class Section:
    """A heading, its text (blank lines part paragraphs), figures (or their PNGs) with captions, and a table."""

    heading: str
    text: str = ""
    figures: Sequence[tuple[Figure | bytes, str]] = ()
    table: tuple[Sequence[str], Sequence[Sequence[Any]]] | None = field(default=None)


def png_bytes(figure: Figure | bytes, dpi: float = 150.0) -> bytes:
    """The figure as a PNG; bytes are taken to be one already."""
    if isinstance(figure, bytes):
        return figure
    buffer = io.BytesIO()
    with look():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save_figures(folder: str | Path, figures: Mapping[str, Figure | bytes], *, dpi: float = 150.0) -> dict[str, Path]:
    """Write each figure as folder/NAME.png; returns the paths by name."""
    folder = Path(folder)
    for name in figures:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"figures: expected plain names without folders, got {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    return {name: write_atomically(folder / f"{name}.png", png_bytes(figure, dpi)) for name, figure in figures.items()}


def write_report(path: str | Path, title: str, intro: str, sections: Sequence[Section]) -> Path:
    """Write one self-contained HTML file: no scripts, no links to other files, pictures inside."""
    parts = [f"<h1>{escape(title)}</h1>", *_paragraphs(intro)]
    for section in sections:
        parts.append(f"<section>\n<h2>{escape(section.heading)}</h2>")
        parts += _paragraphs(section.text)
        if section.table is not None:
            parts.append(_table(*section.table))
        parts += [_picture(figure, caption) for figure, caption in section.figures]
        parts.append("</section>")
    return _write_page(path, title, parts)


def join_reports(path: str | Path, title: str, reports: Sequence[str | Path]) -> Path:
    """One self-contained HTML file with the pages of several, one below the other."""
    bodies = [Path(report).read_text(encoding="utf-8") for report in reports]
    return _write_page(path, title, [body[body.index(_MAIN) + len(_MAIN) : body.rindex(_END)] for body in bodies])


def _write_page(path: str | Path, title: str, parts: Sequence[str]) -> Path:
    path = Path(path)
    head = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_CSS}\n</style>",
        "</head>",
        "<body>",
        _MAIN,
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomically(path, "\n".join([*head, *parts, _END, "</body>", "</html>", ""]).encode("utf-8"))


def cell_text(value: Any) -> str:
    """A table cell as text: four significant digits, "diverged" never guessed: NaN and None are dashes."""
    if value is None:
        return "–"
    if isinstance(value, bool | str | int):
        return str(value)
    try:
        x = float(value)
    except (TypeError, ValueError):
        return str(value)
    if math.isnan(x):
        return "–"
    return f"{x:.4g}".replace("-", "−")


def _paragraphs(text: str) -> list[str]:
    return [f"<p>{escape(part.strip())}</p>" for part in text.split("\n\n") if part.strip()]


def _picture(figure: Figure | bytes, caption: str) -> str:
    png = png_bytes(figure)
    data = base64.b64encode(png).decode("ascii")
    width = int.from_bytes(png[16:20], "big") * 96 / 150  # pixels in the PNG's header, at its 150 dots per inch
    image = f'<img alt="{escape(caption)}" width="{width:.0f}" src="data:image/png;base64,{data}">'
    return f"<figure>\n{image}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(
                f"table: expected {len(columns)} cells per row ({', '.join(columns)}), got {len(row)}: {row}"
            )
    head = "".join(f'<th scope="col">{escape(str(column))}</th>' for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell_text(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>'
