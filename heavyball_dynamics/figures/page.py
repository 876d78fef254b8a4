"""A report as files: a page for a person, JSON for a script, figures for a paper."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from heavyball_dynamics.figures.report_figures import CAPTIONS, draw_report
from heavyball_dynamics.figures.style import class_colour, save
from heavyball_dynamics.studies import _words
from heavyball_dynamics.studies.report_result import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; color: #1b1b1b; background: #fff;
  max-width: 78rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .35rem solid #3f90da; background: #f2f6fb; padding: .75rem 1rem; font-size: 1.05rem; }
.diverges { border-color: #bd1f01; background: #fdf1ee; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .8rem; }
th, td { padding: .3rem .35rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { vertical-align: bottom; } th.left { text-align: left; }
th small { display: block; font-weight: normal; color: #555; }
td.class { text-align: left; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
td.words { text-align: left; white-space: normal; min-width: 9.5rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; } figure img { width: 100%; height: auto; } figcaption { font-size: .85rem; color: #444; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: #555; } dd { margin: 0; }
@media (max-width: 30rem) { .figures { grid-template-columns: 1fr; } }
"""


def write_report(report: Report, folder: Path, *, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write ``report.html``, ``report.json`` and the figures into an existing folder.

    Parameters
    ----------
    report : Report
        What `hb.report` returned.
    folder : Path
        Where to write.
    formats : sequence of str
        File formats of the figures, any that matplotlib writes.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import heavyball_dynamics as hb
    >>> report = hb.report(hb.HeavyBall(lr=0.02, momentum=0.9), [1.0, 10.0])
    >>> with tempfile.TemporaryDirectory() as name:
    ...     files = hb.figures.write_report(report, pathlib.Path(name), formats=["svg"])
    >>> sorted(file.name for file in files)[-3:]
    ['report.json', 'root_locus_s.svg', 'root_locus_z.svg']
    """
    figures = draw_report(report)
    page, data = folder / "report.html", folder / "report.json"
    images = {name: _png(figure) for name, figure in figures.items()}
    page.write_text(render_page(report, images), encoding="utf-8")
    plain = json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    data.write_text(plain + "\n", encoding="utf-8")
    drawn = []
    for name, figure in figures.items():
        if "png" in formats:
            drawn.append(folder / f"{name}.png")
            drawn[-1].write_bytes(images[name])
        drawn += save(figure, folder / name, formats=[end for end in formats if end != "png"])
    return [page, data, *drawn]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=220, bbox_inches="tight")
    return buffer.getvalue()


def render_page(report: Report, images: Mapping[str, bytes]) -> str:
    """Return a report as one self-contained HTML page.

    Parameters
    ----------
    report : Report
        What `hb.report` returned.
    images : mapping of str to bytes
        PNG files by the names of `draw_report`.

    Returns
    -------
    str
    """
    first, *rest = _words.setting_lines(report)
    sections = [
        f"<h1>{escape(report.title)}</h1>",
        f"<p><strong>{escape(first)}</strong> {escape(' '.join(rest))}.</p>",
        f'<p class="verdict{" diverges" if report.diverges else ""}">{escape(report.verdict)}</p>',
        "<h2>Modes</h2>", _modes_table(report),
        "<h2>Flow against iteration</h2>",
        "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in report.disagreements) + "</ul>",
        "<h2>Figures</h2>",
        '<div class="figures">' + "".join(_figure(name, image) for name, image in images.items()) + "</div>",
        "<h2>Loss per step</h2>", _loss_table(report),
        "<h2>Physical reading</h2>", _physical(report),
    ]  # fmt: skip
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections) + "\n</body>\n</html>\n"
    )  # fmt: skip


def _figure(name: str, image: bytes) -> str:
    caption = escape(CAPTIONS[name])
    encoded = base64.b64encode(image).decode("ascii")
    picture = f'<img src="data:image/png;base64,{encoded}" alt="{caption}">'
    return f'<figure id="{name}">{picture}<figcaption>{caption}</figcaption></figure>'


def _modes_table(report: Report) -> str:
    classes = {"flow_class": report.flow_modes.damping, "method_class": report.modes.damping}
    left = ' class="left"'
    head = "".join(
        f"<th{left if key in classes else ''}>{escape(title)}<small>{escape(unit)}</small></th>"
        for key, title, unit in _words.TABLE
    )
    lines = [f'<tr><th>mode</th>{head}<th class="left">direction</th></tr>']
    for i, row in enumerate(_words.rows(report)):
        cells = [f"<td>{row[0]}</td>"]
        for (key, _, _), cell in zip(_words.TABLE, row[1:], strict=True):
            if key in classes:
                colour = class_colour(int(classes[key][i]))
                dot = f'<span class="dot" style="background:{colour}"></span>'
                cells.append(f'<td class="class">{dot}{escape(cell)}</td>')
            else:
                cells.append(f"<td>{escape(cell)}</td>")
        cells.append(f'<td class="words">{escape(_words.direction(report, i))}</td>')
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _loss_table(report: Report) -> str:
    curves = report.curves
    lines = ["<tr><th></th><th>measured</th><th>predicted</th><th>asymptotic</th></tr>"]
    for label, *numbers in zip(curves.labels, curves.measured, curves.predicted, curves.asymptotic, strict=True):
        cells = "".join(f"<td>{_words.rate(float(value))}</td>" for value in numbers)
        lines.append(f'<tr><td class="class">{escape(label)}</td>{cells}</tr>')
    note = (
        "Factor of the loss per step. Measured along the run and predicted from the poles over the same last third of "
        "the run; asymptotic: where the slowest mode alone is left."
    )
    return f'<p>{note}</p><div class="scroll"><table>{"".join(lines)}</table></div>'


def _physical(report: Report) -> str:
    physical, method = report.physical, report.method
    entries = {
        "rule": f"{physical.rule}, order {physical.order}", "mass": f"{physical.mass:.8g}",
        "damping": f"{physical.damping:.8g}", "time step": f"{physical.dt:.8g}", "canonical lr": f"{method.lr:.8g}",
        "momentum": f"{method.momentum:.8g}",
    }  # fmt: skip
    if physical.look_ahead:
        entries["Hessian-driven damping"] = f"{physical.hessian_damping:.8g}"
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries.items()) + "</dl>"
