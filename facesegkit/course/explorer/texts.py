"""The explorer's texts as HTML, and the picture's description."""

from __future__ import annotations

import math
from html import escape

import ipywidgets as widgets

from facesegkit.course.explorer.pictures import (
    ALL,
    DIFFERENCE,
    VIEWS,
    ViewOptions,
    heat_gradient,
    legend,
)
from facesegkit.course.explorer.results import Comparison, ExplorerResult
from facesegkit.inference.model_zoo import is_shipped, licence_notice
from facesegkit.labels import LabelScheme

NO_FACE = (
    "No face was found. It should be at least 20 pixels wide, and neither very dark nor in "
    "profile: try another photo, a crop of this one, or a lower minimum confidence."
)


def heading(text: str) -> widgets.HTML:
    """A heading above some controls."""
    return widgets.HTML(f'<div role="heading" aria-level="3" class="fsk-heading">{text}</div>')


def message(text: str, *, failed: bool) -> str:
    """A message as HTML that screen readers read out; empty without a text."""
    role, kind = ("alert", " fsk-failed") if failed else ("status", "")
    return f'<div role="{role}" class="fsk-message{kind}">{escape(text)}</div>' if text else ""


def licence(model: str) -> str:
    """What the model may be used for."""
    if not is_shipped(model):
        return ""
    text = licence_notice(model) or "MIT licence: free for any use."
    return f'<div class="fsk-note">{escape(text)}</div>'


def details(result: ExplorerResult, credit: str) -> str:
    """What was found, how long it took, and where the photo comes from."""
    width, height = result.size
    parts = [result.summary, f"{width} x {height} pixels, segmented in {_time(result.seconds)}."]
    if credit:
        parts.append(f"Photo: {credit}.")
    return f'<div class="fsk-note">{escape(" ".join(parts))}</div>'


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def key(scheme: LabelScheme, view: str, part: str) -> str:
    """The legend of a view: colours of the classes, a colour bar, or those of a difference."""
    if view == "original":
        return ""
    if view == "confidence":
        return _colour_bar()
    entries = list(DIFFERENCE.items()) if view == "difference" else legend(scheme)
    if part != ALL and view != "difference":
        entries = [entry for entry in entries if entry[0] == part]
    items = (
        f'<span><i style="background: rgb{tuple(colour)}"></i>{escape(name)}</span>'
        for name, colour in entries
    )
    return f'<div class="fsk-legend">{"".join(items)}</div>'


def _colour_bar() -> str:
    ticks = "".join(f"<span>{tick}</span>" for tick in ("50 % or less", "75 %", "100 %"))
    return (
        '<div class="fsk-note">Probability of the predicted class, in the region that the model '
        f'has seen</div><div class="fsk-bar" style="background: {heat_gradient()}"></div>'
        f'<div class="fsk-ticks fsk-note">{ticks}</div>'
    )


def alt(photo: str, view: str, result: ExplorerResult, options: ViewOptions) -> str:
    """A description of the picture for those who do not see it."""
    what = VIEWS.get(view, "where the masks of two models differ")
    found = result.summary
    if options.face:
        face = result.faces[options.face - 1]
        found = f"Face {options.face} of {len(result.faces)}, {face.confidence:.0%} confidence."
    labels = result.selection(options.face)
    names = [name for name in labels.scheme.classes if labels.mask(name).any()]
    marked = f" Marked: {', '.join(names)}." if names else ""
    return f"{photo}: {what}. {found}{marked}"


def scores(comparison: Comparison, first: str, second: str) -> str:
    """A table of the F1 of each class between two models."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        f"<td>{'neither' if math.isnan(score) else f'{score:.3f}'}</td></tr>"
        for name, score in comparison.f1.items()
    )
    caption = f"F1 between {first} and {second}: 1 where both agree on every pixel"
    return f'<div class="fsk-note">{escape(caption)}</div><table class="fsk-scores">{rows}</table>'
