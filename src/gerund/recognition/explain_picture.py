"""One picture of an explanation: the answer, the places it rests on, and the weight of every time step. Computes only the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gerund.core.errors import UsageError, VideoError
from gerund.core.files import whole
from gerund.core.printing import visible
from gerund.core.types import Explanation
from gerund.video.annotate import ROWS, answer_panel
from gerund.video.draw import INK, PAPER, fitting_text, font

PICTURE_FORMATS = (".png", ".jpg", ".jpeg", ".webp")
SHEET_WIDTH, GAP, PAD = 1200, 10, 24
LARGE, PER_LINE = 4, 8
"""Frames with heat, and steps in one line of the strip."""
SAME = 1e-3
"""Weights this close together are the same."""
SMALL_PRINT, EMPTY_BAR, WEIGHT, SHEET_COLOUR = "#5b6673", "#dfe4e9", "#1f6feb", "#f2f4f6"
COLD, WARM, HOT = (255, 214, 0), (255, 122, 0), (214, 0, 28)
MINUS = "\N{MINUS SIGN}"
LEAST_FALL = 0.005
"""A fall below half a point is drawn in no colour: it is of no account, and colours would make it look like a finding."""
FULL_FALL = 0.1
"""The hottest colour stands for a fall of ten points at least, so that a few points do not look like the reason."""


def check_picture(path: Path) -> None:
    """Raise UsageError for an output that is no picture."""
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise UsageError(f"--explain {path}: unknown format {path.suffix!r}; choose one of {', '.join(PICTURE_FORMATS)}")


def draw_explanation(explanation: Explanation, out: Path) -> None:
    """Draw an explanation into a picture file. Raises UsageError for an unknown format, VideoError when it cannot be written."""
    check_picture(out)
    parts = [heading(explanation), frames_with_heat(explanation), strip_of_steps(explanation)]
    height = sum(part.height for part in parts)
    sheet = Image.new("RGB", (SHEET_WIDTH, height), SHEET_COLOUR)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    try:
        with whole(out) as temporary:
            sheet.save(temporary)
    except OSError as error:
        raise VideoError(f"{out}: cannot be written ({error.strerror or error})") from None


def heading(explanation: Explanation) -> Image.Image:
    """The file's name and the three likeliest labels."""
    prediction = explanation.prediction
    panel = Image.fromarray(answer_panel(SHEET_WIDTH // 2, prediction.scores[:ROWS]))
    part = Image.new("RGB", (SHEET_WIDTH, panel.height), "#11161d")
    part.paste(panel, (0, 0))
    draw = ImageDraw.Draw(part)
    span = "" if prediction.end is None else f"  {prediction.start:g} to {prediction.end:g} s"
    lines = (
        (f"{visible(prediction.path.name)}{span}", 18, PAPER),
        (f"Colour shows the places without which {prediction.scores[0][0]} is less likely.", 15, "#a9b4c0"),
    )
    for number, (text, size, colour) in enumerate(lines):
        shown = fitting_text(draw, text, SHEET_WIDTH / 2 - 2 * PAD, size)
        draw.text((SHEET_WIDTH - PAD, PAD + 12 + 32 * number), shown, font=font(size), fill=colour, anchor="rm")
    return part


def frames_with_heat(explanation: Explanation) -> Image.Image:
    """The weightiest steps' frames with the heat over them, and a legend."""
    width = (SHEET_WIDTH - 2 * PAD - (LARGE - 1) * GAP) // LARGE
    height = round(width * explanation.frames.shape[1] / explanation.frames.shape[2])
    part = Image.new("RGB", (SHEET_WIDTH, height + PAD + 44), SHEET_COLOUR)
    fall = float(explanation.heat.max())
    for number, step in enumerate(weightiest(explanation.weights)):
        frame = Image.fromarray(explanation.frames[step]).resize((width, height), Image.Resampling.BICUBIC)
        part.paste(heated(frame, explanation.heat, max(fall, FULL_FALL)), (PAD + number * (width + GAP), PAD))
    legend(ImageDraw.Draw(part), PAD, height + PAD + 26, explanation)
    return part


def weightiest(weights: np.ndarray) -> np.ndarray:
    """The LARGE steps of highest weight in order of time; spread over the clip where all weigh the same."""
    count = min(LARGE, len(weights))
    if np.ptp(weights) < SAME:
        return np.linspace(0, len(weights) - 1, 2 * count + 1).round().astype(int)[1::2]
    return np.sort(np.argsort(-weights, kind="stable")[:count])


def legend(draw: ImageDraw.ImageDraw, left: int, middle: int, explanation: Explanation) -> None:
    label, fall = explanation.prediction.scores[0][0], float(explanation.heat.max())
    if fall < LEAST_FALL:
        text = f"No single place decides: a patch over any place costs {label} less than {points(LEAST_FALL)}."
        draw.text((left, middle), text, font=font(15), fill=SMALL_PRINT, anchor="lm")
        return
    shares = np.linspace(0, min(fall / FULL_FALL, 1), 160)
    colours = tinted(np.full((1, 160, 3), 235.0), shares[None])
    for x, colour in enumerate(colours[0]):
        draw.line([left + x, middle - 7, left + x, middle + 7], fill=tuple(colour.tolist()))
    text = f"0 to {MINUS}{points(fall)}: what {label} loses when a grey patch covers the place throughout the clip"
    draw.text((left + 172, middle), text, font=font(15), fill=SMALL_PRINT, anchor="lm")


def heated(frame: Image.Image, heat: np.ndarray, top: float) -> Image.Image:
    """A frame, its own colours dimmed, with the heat (G, G) over it, `top` being the hottest colour."""
    share = Image.fromarray(np.clip(heat / top, 0, 1).astype(np.float32)).resize(frame.size, Image.Resampling.BICUBIC)
    return Image.fromarray(
        tinted(np.asarray(Image.blend(frame, frame.convert("L").convert("RGB"), 0.7)), np.clip(np.asarray(share), 0, 1))
    )


def tinted(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) under the colours of shares (H, W) 0..1, the more the stronger, as uint8."""
    opacity = np.minimum(share, 0.75)[..., None]
    return (picture * (1 - opacity) + ramp(share) * opacity).astype(np.uint8)


def ramp(share: np.ndarray) -> np.ndarray:
    """Colours (..., 3) of shares 0..1: yellow, orange, red."""
    stops = np.array([COLD, WARM, HOT], float)
    return np.stack([np.interp(share, [0, 0.5, 1], stops[:, channel]) for channel in range(3)], axis=-1)


def strip_of_steps(explanation: Explanation) -> Image.Image:
    """All steps in order: frame, time, weight as a bar, and what is lost without the step where that is anything."""
    moves = bool(np.abs(explanation.drops).max() >= LEAST_FALL)
    count = len(explanation.frames)
    width = (SHEET_WIDTH - 2 * PAD - (PER_LINE - 1) * GAP) // PER_LINE
    height = round(width * explanation.frames.shape[1] / explanation.frames.shape[2])
    line = height + (62 if moves else 44)
    lines = -(-count // PER_LINE)
    part = Image.new("RGB", (SHEET_WIDTH, 40 + lines * line + PAD), SHEET_COLOUR)
    draw = ImageDraw.Draw(part)
    most, alike = float(explanation.weights.max()), np.ptp(explanation.weights) < SAME
    draw.text((PAD, 16), title_of_steps(count, alike, moves), font=font(15, bold=True), fill=INK, anchor="lm")
    for step in range(count):
        left, top = PAD + step % PER_LINE * (width + GAP), 40 + step // PER_LINE * line
        part.paste(Image.fromarray(explanation.frames[step]).resize((width, height), Image.Resampling.BICUBIC), (left, top))
        bar = top + height + 6
        draw.rounded_rectangle([left, bar, left + width - 1, bar + 8], 4, fill=EMPTY_BAR)
        full = round(width * explanation.weights[step] / most)
        if full >= 8:
            draw.rounded_rectangle([left, bar, left + full - 1, bar + 8], 4, fill=WEIGHT)
        draw.text((left, bar + 20), f"{explanation.seconds[step]:.1f} s", font=font(13), fill=SMALL_PRINT, anchor="lm")
        draw.text((left + width, bar + 20), f"{100 * explanation.weights[step]:.0f} %", font=font(13), fill=INK, anchor="rm")
        if abs(explanation.drops[step]) >= LEAST_FALL:
            change = f"{signed(-explanation.drops[step])} points"
            draw.text((left, bar + 38), change, font=font(13), fill=SMALL_PRINT, anchor="lm")
    return part


def title_of_steps(count: int, alike: bool, moves: bool) -> str:
    """What the bars and the points below the steps are, and why they may differ."""
    weights = "all of the same weight" if alike else "bars: how much the model heeds each"
    if moves:
        return f"{count} time steps, {weights}; points: what hiding it alone changes, where that is {100 * LEAST_FALL:g} or more"
    return (
        f"{count} time steps, {weights}; hiding one alone changes less than {points(LEAST_FALL)}, since the others show the same"
    )


def points(fall: float) -> str:
    return f"{100 * fall:.1f} points"


def signed(change: float) -> str:
    """Points with a sign."""
    return f"{100 * change:+.1f}".replace("-", MINUS)
