"""What all figures share: size, style, palette, and the way to a PNG without touching matplotlib's global state."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, SKY, GREEN, ORANGE, VERMILLION, GREY = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#666666"
SURFACE = "viridis"

# Narrow figures with large letters: a phone shows them at two thirds of this size.
WIDTH, HEIGHT, DPI = 5.2, 3.7, 160
COLOURS = 192  # of a picture
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "text.parse_math": False,  # a dollar in a user's label is a dollar
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn figure.

    Attributes
    ----------
    name : str
        File name without ending.
    png : bytes
    alt : str
        What it shows, for readers who do not see it.
    caption : str
    """

    name: str
    png: bytes
    alt: str
    caption: str


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and the house style, whatever the user's settings; undone afterwards."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        yield


def picture(
    name: str,
    alt: str,
    caption: str,
    paint: Callable[[Axes], Any],
    height: float = HEIGHT,
    width: float = WIDTH,
) -> Picture:
    """Draw a figure of one panel.

    Parameters
    ----------
    name, alt, caption : str
    paint : callable
        Draws on the axes it is given.
    height, width : float
        Inches.

    Returns
    -------
    Picture
    """
    return figure_picture(name, alt, caption, lambda figure: paint(figure.add_subplot()), height, width)


def figure_picture(
    name: str,
    alt: str,
    caption: str,
    paint: Callable[[Figure], Any],
    height: float = HEIGHT,
    width: float = WIDTH,
) -> Picture:
    """Draw a figure of any panels; as `picture`, but ``paint`` draws on the empty figure it is given."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib import figure as figures

    with house_style():
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, _smaller(held), alt, caption)


def _smaller(png: io.BytesIO) -> bytes:
    """The picture with a palette of its own colours, which takes a third of the bytes."""
    from PIL import Image

    held = io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(held, "PNG", optimize=True)
    return held.getvalue()


def spans_magnitudes(values: np.ndarray) -> bool:
    """Whether values are better seen on a logarithmic axis."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() / finite.min() > 20)


def plain_log(axis: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, ... as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    subs = (1, 2, 5) if high / low < 1e3 else (1, 3) if high / low < 1e5 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=15))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.6g}" if value < 1e6 else f"{value:.0e}")
    )
    axis.set_minor_formatter(NullFormatter())


def wrapped(text: str, width: int = 34) -> str:
    """A label broken into lines."""
    import textwrap

    return textwrap.fill(text, width)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """A legend over the axes from the figure's left edge on, where it hides nothing."""
    from matplotlib.transforms import blended_transform_factory

    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.01, 1.01),
        bbox_transform=blended_transform_factory(axes.figure.transFigure, axes.transAxes),
        ncol=columns,
        borderaxespad=0.3,
        borderpad=0.1,
        handlelength=1.5,
        columnspacing=1.3,
    )
