"""Pictures of results in a run's folder: curves, confusions, and sheets of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gerund import video
from gerund.core.errors import GerundError
from gerund.core.types import Clip, Resize
from gerund.training.report.charts import confusion_chart, history_of, line_chart
from gerund.training.report.pen import chart_sheet
from gerund.video.draw import INK, PAPER, RIGHT, WRONG, fitting_text, font

SHEET = 16
"""Clips on a contact sheet at most."""


def history_plot(path: Path, rows: Sequence[Mapping[str, Any]], *, validated: bool = True) -> None:
    """Loss and accuracy over the epochs, from the rows of results.csv; the epoch that was kept is marked."""
    history = history_of(rows, validated=validated)
    charts = {
        "Loss": line_chart("Loss", history.losses, kept=history.kept),
        "Top-1 accuracy": line_chart("Top-1 accuracy", history.accuracies, kept=history.kept, percent=True),
    }
    note = f"dashed: epoch {history.kept} of {len(rows)} was kept"
    chart_sheet(charts, key={"train": "accent", history.second: "second"}, note=note).save(path)


def confusion_plot(path: Path, matrix: np.ndarray, labels: Sequence[str], *, normalized: bool = False) -> None:
    """Rows true, columns answered; the column of clips without an answer is shown when it is not empty."""
    title = "Share of each true class, %" if normalized else "Number of clips"
    chart_sheet({title: confusion_chart(matrix, labels, normalized=normalized)}, note="rows: true class; columns: answer").save(
        path
    )


def contact_sheet(path: Path, entries: Sequence[tuple[Clip, str, bool | None]], *, columns: int = 4, width: int = 240) -> None:
    """The middle frame of each clip with a caption; green and a check mark when right (True), red and a cross when wrong (False).

    A clip that cannot be read there has its caption alone.
    """
    if not entries:
        return
    height, bar, gap = width * 3 // 4, 30, 8
    columns = min(columns, len(entries))
    lines = -(-len(entries) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, lines * (height + bar + gap) + gap), "#f2f4f6")
    draw = ImageDraw.Draw(sheet)
    for number, (clip, caption, right) in enumerate(entries):
        left, top = gap + number % columns * (width + gap), gap + number // columns * (height + bar + gap)
        try:
            picture = middle_frame(clip, Resize(height=height, width=width, fit="letterbox"))
            sheet.paste(Image.fromarray(picture), (left, top))
        except GerundError:
            draw.text((left + width / 2, top + height / 2), "no picture", font=font(14), fill=INK, anchor="mm")
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
