"""Pictures of results: they take numbers and clips, and compute nothing but the layout. matplotlib is imported when a plot is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gerund import video
from gerund.core.types import Clip, Resize
from gerund.video.draw import GRID, INK, MUTED, PAPER, RIGHT, WRONG, fitting_text, font

SHEET = 16
"""Clips on a contact sheet at most."""
TRAIN, VAL = "#1f6feb", "#d1570f"


def new_figure(width: float, height: float, **layout: Any) -> tuple[Any, Any]:
    """A figure (inches) without a window, in the house style."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context():
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        return figure, figure.subplots(**layout)


def tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def history_plot(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Loss and accuracy over the epochs, from the rows of results.csv; the epoch that was kept is marked."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [int(row["epoch"]) for row in rows]
    best = epochs[int(np.argmin([float(row["val/loss"]) for row in rows]))]
    figure, (losses, accuracies) = new_figure(9, 3.6, ncols=2)
    marker = "o" if len(rows) < 3 else None
    for axes, columns in (
        (losses, {"train/loss": ("train", TRAIN), "val/loss": ("validation", VAL)}),
        (accuracies, {"train/accuracy_top1": ("train", TRAIN), "metrics/accuracy_top1": ("validation", VAL)}),
    ):
        for column, (name, colour) in columns.items():
            axes.plot(
                epochs, [float(row[column]) for row in rows], color=colour, linewidth=1.8, marker=marker, markersize=4, label=name
            )
        axes.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axes)
    losses.set_title("Loss", loc="left", fontsize=11, color=INK, fontweight="bold")
    accuracies.set_title("Top-1 accuracy", loc="left", fontsize=11, color=INK, fontweight="bold")
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    accuracies.set_ylim(top=1.02)
    for axes in (losses, accuracies):
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    losses.annotate(
        f"kept: epoch {best}",
        (best, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -4),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=MUTED,
    )
    figure.savefig(path)


def confusion_plot(path: Path, matrix: np.ndarray, labels: Sequence[str], *, normalized: bool = False) -> None:
    """Rows true, columns answered; the column of clips without an answer is shown when it is not empty."""
    columns = list(labels)
    if matrix[:, -1].any():
        columns.append("(no answer)")
    else:
        matrix = matrix[:, :-1]
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shares = matrix / totals
    side = max(3.6, 0.42 * len(labels) + 1.6)
    figure, axes = new_figure(side + 0.6, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    size = 9 if len(labels) <= 20 else 6
    axes.set_xticks(
        range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=size, parse_math=False
    )
    axes.set_yticks(range(len(labels)), labels, fontsize=size, parse_math=False)
    axes.tick_params(length=0, colors=INK)
    axes.set_xlabel("answer", color=MUTED)
    axes.set_ylabel("true class", color=MUTED)
    axes.spines[:].set_visible(False)
    if len(labels) <= 30:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            text = f"{100 * shares[row, column]:.0f}" if normalized else str(matrix[row, column])
            axes.text(
                column, row, text, ha="center", va="center", fontsize=size, color=PAPER if shares[row, column] > 0.55 else INK
            )
    title = "Share of each true class, %" if normalized else "Number of clips (colour: share of the true class)"
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    figure.savefig(path)


def contact_sheet(path: Path, entries: Sequence[tuple[Clip, str, bool | None]], *, columns: int = 4, width: int = 240) -> None:
    """The middle frame of each clip with a caption; green and a check mark when right (True), red and a cross when wrong (False)."""
    if not entries:
        return
    height, bar, gap = width * 3 // 4, 30, 8
    columns = min(columns, len(entries))
    lines = -(-len(entries) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, lines * (height + bar + gap) + gap), "#f2f4f6")
    draw = ImageDraw.Draw(sheet)
    for number, (clip, caption, right) in enumerate(entries):
        left, top = gap + number % columns * (width + gap), gap + number // columns * (height + bar + gap)
        picture = middle_frame(clip, Resize(height=height, width=width, fit="letterbox"))
        sheet.paste(Image.fromarray(picture), (left, top))
        colour = INK if right is None else RIGHT if right else WRONG
        draw.rectangle([left, top + height, left + width - 1, top + height + bar - 1], fill=colour)
        text = caption if right is None else f"{'✓' if right else '✗'} {caption}"
        text = fitting_text(draw, text, width - 16, 14)
        draw.text((left + 8, top + height + bar / 2), text, font=font(14), fill=PAPER, anchor="lm")
    sheet.save(path, quality=88)


def middle_frame(clip: Clip, resize: Resize) -> np.ndarray:
    """A frame (H, W, 3) from the middle of a clip."""
    end = clip.end if clip.end is not None else video.probe(clip.path).duration or 0.0
    return video.frame_at(clip.path, (clip.start + end) / 2, resize)
