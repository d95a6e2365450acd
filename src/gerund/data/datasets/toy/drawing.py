"""What a camera sees, drawn in metres: the figure, its chair and its door, and the room around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

GROUND = 0.12
"""Share of the picture's height below the ground line."""

SEAT = (-0.46, 0.43)
HINGE, DOOR_WIDTH, DOOR_HEIGHT, SKIRTING = 1.36, 0.84, 1.95, 0.16

SHIRTS = (
    (178, 52, 58), (33, 86, 140), (24, 108, 98), (122, 58, 126),
    (196, 84, 28), (44, 62, 110), (150, 38, 92), (60, 98, 48),
)  # fmt: skip
TROUSERS = ((38, 44, 66), (58, 46, 52), (34, 58, 72), (66, 58, 46), (46, 40, 74))
SKINS = ((226, 172, 134), (198, 138, 98), (150, 98, 66), (108, 70, 50))
HAIRS = ((46, 34, 32), (88, 54, 34), (132, 78, 40), (28, 28, 36), (112, 108, 108))
ROOMS = (
    ((240, 232, 216), (204, 176, 142)),
    ((222, 234, 238), (182, 172, 158)),
    ((232, 238, 222), (190, 174, 142)),
    ((246, 226, 216), (196, 164, 148)),
    ((234, 228, 240), (176, 164, 172)),
    ((248, 238, 206), (186, 160, 128)),
)
"""Wall and floor: all light, since the figure must stand out even on a small grey picture."""

LEAF: Colour = (96, 142, 98)
WOOD: Colour = (138, 92, 58)
SKY: Colour = (206, 230, 246)
WHITE: Colour = (255, 255, 255)
OUTSIDE: Colour = (255, 250, 226)
SHADE: Colour = (20, 20, 40)
SHOE: Colour = (30, 28, 34)


@dataclass(frozen=True, kw_only=True)
class Performer:
    """One body: limb lengths and thickness in metres, and what it wears."""

    leg: float
    torso: float
    arm: float
    head: float
    limb: float
    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What each frame shows: the x (N,) of its middle and its height `view` (N,), both in metres."""

    x: np.ndarray
    view: np.ndarray


def door_edge(opened: np.ndarray) -> np.ndarray:
    """x of the door's free edge, for openings 0 to 1 (0 to 78 degrees, away from the viewer)."""
    return HINGE - DOOR_WIDTH * np.cos(np.radians(78.0 * opened))


class Canvas:
    """Draws in metres on a picture: `scale` pixels per metre, `origin` the pixel of (0, 0), `facing` -1 mirrors x."""

    def __init__(self, image: Image.Image, scale: float, origin: Point, facing: int = 1) -> None:
        self.draw = ImageDraw.Draw(image)
        self.scale, self.origin, self.facing = scale, origin, facing

    def pixel(self, point: Point) -> Point:
        return self.origin[0] + point[0] * self.facing * self.scale, self.origin[1] - point[1] * self.scale

    def shape(self, points: Sequence[Point], colour: tuple[int, ...]) -> None:
        self.draw.polygon([self.pixel(point) for point in points], fill=colour)

    def box(self, left: float, bottom: float, right: float, top: float, colour: tuple[int, ...]) -> None:
        self.shape([(left, bottom), (left, top), (right, top), (right, bottom)], colour)

    def oval(self, middle: Point, across: float, up: float, colour: tuple[int, ...]) -> None:
        """An ellipse with the half axes `across` and `up`."""
        x, y = self.pixel(middle)
        across, up = across * self.scale, up * self.scale
        self.draw.ellipse((x - across, y - up, x + across, y + up), fill=colour)

    def limb(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line with round joints and ends."""
        self.draw.line([self.pixel(point) for point in points], fill=colour, width=max(1, round(width * self.scale)))
        for point in points:
            self.oval(point, width / 2, width / 2, colour)


def draw_figure(canvas: Canvas, at: dict[str, Point], body: Performer) -> None:
    """The figure over its shadow, from the far side to the near one."""
    lift = max(0.0, min(at["foot"][1], at["far_foot"][1]) - 0.05)
    middle = (at["foot"][0] + at["far_foot"][0] + at["hip"][0]) / 3
    canvas.oval((middle, 0.0), 0.42 - 0.3 * min(lift, 0.8), 0.055, (40, 30, 50, 70))
    for side, shade in (("far_", 0.28), ("", 0.0)):
        shirt, trousers, skin = (mix(colour, SHADE, shade) for colour in (body.shirt, body.trousers, body.skin))
        foot = at[f"{side}foot"]
        if side:
            draw_arm(canvas, at, side, body, shirt, skin)
        canvas.limb([foot, (foot[0] + 0.11, foot[1] - 0.01)], body.limb * 0.75, SHOE)
        canvas.limb([at[f"{side}top"], at[f"{side}knee"], foot], body.limb, trousers)
    canvas.limb([at["hip"], toward(at["hip"], at["neck"], 0.2)], body.limb * 1.6, body.trousers)
    canvas.limb([toward(at["hip"], at["neck"], 0.3), toward(at["hip"], at["neck"], 0.93)], body.limb * 1.75, body.shirt)
    canvas.limb([at["neck"], at["head"]], body.limb * 0.7, body.skin)
    draw_head(canvas, at["head"], body)
    draw_arm(canvas, at, "", body, mix(body.shirt, WHITE, 0.14), body.skin)


def draw_arm(canvas: Canvas, at: dict[str, Point], side: str, body: Performer, sleeve: Colour, skin: Colour) -> None:
    canvas.oval(at[f"{side}hand"], body.limb * 0.52, body.limb * 0.52, skin)
    elbow = at[f"{side}elbow"]
    canvas.limb([at[f"{side}shoulder"], elbow, toward(elbow, at[f"{side}hand"], 0.82)], body.limb * 0.82, sleeve)


def draw_head(canvas: Canvas, at: Point, body: Performer) -> None:
    """Hair behind, face in front: the nose says which way the figure faces."""
    x, y = at
    canvas.oval((x - 0.03, y + 0.025), body.head * 1.06, body.head * 1.06, body.hair)
    canvas.oval((x + 0.035, y - 0.02), body.head * 0.86, body.head * 0.9, body.skin)
    canvas.oval((x + body.head * 0.98, y - 0.03), 0.03, 0.03, body.skin)


def draw_chair(canvas: Canvas) -> None:
    """A wooden chair behind the figure, seen from the side."""
    x, seat = SEAT
    canvas.oval((x, 0.02), 0.36, 0.05, (150, 128, 108))
    far, near = mix(WOOD, (30, 20, 20), 0.35), mix(WOOD, (30, 20, 20), 0.15)
    for back, front, colour in ((x - 0.20, x + 0.20, far), (x - 0.27, x + 0.15, near)):
        canvas.limb([(back, 0.03), (back, seat)], 0.05, colour)
        canvas.limb([(front, 0.03), (front, seat)], 0.05, colour)
        canvas.limb([(back, seat), (back - 0.08, seat + 0.62)], 0.05, colour)
    canvas.limb([(x - 0.30, seat + 0.50), (x - 0.24, seat + 0.16)], 0.09, near)
    canvas.limb([(x - 0.25, seat - 0.03), (x + 0.19, seat - 0.03)], 0.08, near)


def draw_frame(canvas: Canvas) -> None:
    """The frame of the door and the bright garden behind it."""
    left, right, top = HINGE - DOOR_WIDTH, HINGE, SKIRTING + DOOR_HEIGHT
    canvas.box(left - 0.08, SKIRTING, right + 0.08, top + 0.08, (250, 248, 244))
    canvas.box(left, SKIRTING, right, top, OUTSIDE)
    canvas.box(left, SKIRTING, right, SKIRTING + 0.5, (206, 226, 176))


def draw_door(canvas: Canvas, opened: float) -> None:
    """The door leaf: it turns away on its hinge, so that its free edge gets smaller."""
    edge = float(door_edge(np.array(opened)))
    away = float(np.sin(np.radians(78.0 * opened)))
    colour = mix((122, 78, 52), (60, 36, 30), 0.4 * away)
    bottom, top = SKIRTING + 0.10 * away, SKIRTING + DOOR_HEIGHT - 0.16 * away
    corners = [(HINGE, SKIRTING), (HINGE, SKIRTING + DOOR_HEIGHT), (edge, top), (edge, bottom)]
    canvas.shape(corners, colour)
    for low, high in ((0.08, 0.42), (0.54, 0.92)):
        panel = [spot_of(corners, u, v) for u, v in ((0.16, low), (0.16, high), (0.84, high), (0.84, low))]
        canvas.shape(panel, mix(colour, WHITE, 0.12))
    canvas.oval((edge + 0.05 + 0.02 * (1 - away), SKIRTING + 0.86), 0.035, 0.035, (232, 196, 96))


def spot_of(corners: Sequence[Point], u: float, v: float) -> Point:
    """The point of a four-cornered shape at the share u from hinge to edge and v from bottom to top."""
    return toward(toward(corners[0], corners[3], u), toward(corners[1], corners[2], u), v)


def toward(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(colour, other, strict=True))
    return red, green, blue


class Room:
    """A room painted once, as wide as the camera will look, and cut out frame by frame."""

    def __init__(self, camera: Camera, size: tuple[int, int], rng: np.random.Generator) -> None:
        height, width = size
        tallest = float(camera.view.max())
        half = tallest * width / height / 2 + 0.1
        self.size = size
        self.left, self.right = float(camera.x.min()) - half, float(camera.x.max()) + half
        self.bottom, self.top = -GROUND * tallest - 0.1, (1 - GROUND) * tallest + 0.1
        self.scale = 2 * height / float(camera.view.min())  # twice as fine as the picture: scaling smooths edges
        wall, floor = ROOMS[rng.integers(len(ROOMS))]
        self.picture = self.shaded(wall, floor)
        self.furnish(self.canvas(), wall, rng)

    def shaded(self, wall: Colour, floor: Colour) -> Image.Image:
        """Wall and floor, each a soft vertical gradient, with a skirting board between them."""
        rows = np.arange(self.top, self.bottom, -1 / self.scale)[:, None]
        on_wall = np.asarray(wall) * (0.90 + 0.10 * np.clip(rows / self.top, 0, 1))
        on_floor = np.asarray(floor) * (1.06 + 0.22 * np.clip(rows - SKIRTING, self.bottom, 0))
        board = np.asarray(mix(wall, WHITE, 0.55))
        column = np.where(rows > SKIRTING + 0.07, on_wall, np.where(rows > SKIRTING, board, on_floor))
        columns = round((self.right - self.left) * self.scale)
        return Image.fromarray(np.repeat(np.clip(column, 0, 255).astype(np.uint8)[:, None], columns, axis=1))

    def canvas(self, facing: int = 1) -> Canvas:
        return Canvas(self.picture, self.scale, (-self.left * self.scale, self.top * self.scale), facing)

    def seen(self, x: float, view: float) -> Image.Image:
        """What the camera shows of the room."""
        height, width = self.size
        half = view * width / height / 2
        left, right = ((edge - self.left) * self.scale for edge in (x - half, x + half))
        top, bottom = ((self.top - edge) * self.scale for edge in ((1 - GROUND) * view, -GROUND * view))
        return self.picture.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, right, bottom))

    def furnish(self, canvas: Canvas, wall: Colour, rng: np.random.Generator) -> None:
        """Something pale every 1.2 metres or so."""
        things = (draw_window, draw_painting, draw_plant, draw_shelf, draw_lamp)
        order = rng.permutation(len(things))
        first = np.floor(self.left / 1.2) + rng.uniform(-0.5, 0.5)
        for i in range(int((self.right - self.left) / 1.2) + 3):
            if rng.uniform() < 0.6:
                things[order[i % len(things)]](canvas, (first + i) * 1.2 + rng.uniform(-0.15, 0.15), wall, rng)


def draw_window(canvas: Canvas, x: float, wall: Colour, rng: np.random.Generator) -> None:
    canvas.box(x - 0.36, 1.02, x + 0.36, 1.98, mix(wall, WHITE, 0.7))
    canvas.box(x - 0.31, 1.07, x + 0.31, 1.93, SKY)
    canvas.box(x - 0.31, 1.07, x + 0.31, 1.07 + rng.uniform(0.15, 0.35), (200, 222, 186))
    canvas.box(x - 0.02, 1.07, x + 0.02, 1.93, mix(wall, WHITE, 0.7))
    canvas.box(x - 0.40, 0.98, x + 0.40, 1.03, mix(wall, WHITE, 0.5))


def draw_painting(canvas: Canvas, x: float, wall: Colour, rng: np.random.Generator) -> None:
    colour = SHIRTS[rng.integers(len(SHIRTS))]
    canvas.box(x - 0.24, 1.28, x + 0.24, 1.88, mix(wall, WOOD, 0.35))
    canvas.box(x - 0.20, 1.32, x + 0.20, 1.84, mix(wall, WHITE, 0.6))
    canvas.oval((x + 0.04, 1.62), 0.10, 0.10, mix(wall, colour, 0.4))
    hill = [(-0.20, 1.32), (-0.20, 1.46), (0.02, 1.58), (0.20, 1.40), (0.20, 1.32)]
    canvas.shape([(x + right, y) for right, y in hill], mix(wall, colour, 0.3))


def draw_plant(canvas: Canvas, x: float, wall: Colour, rng: np.random.Generator) -> None:
    leaf = mix(wall, LEAF, 0.55)
    for reach in rng.uniform(-0.26, 0.26, size=7):
        canvas.limb([(x, 0.4), (x + reach, 0.92 - abs(reach) + rng.uniform(-0.08, 0.08))], 0.075, leaf)
    pot = mix(wall, (186, 110, 80), 0.6)
    canvas.shape([(x - 0.15, 0.46), (x + 0.15, 0.46), (x + 0.11, 0.12), (x - 0.11, 0.12)], pot)


def draw_shelf(canvas: Canvas, x: float, wall: Colour, rng: np.random.Generator) -> None:
    canvas.box(x - 0.38, 1.40, x + 0.38, 1.45, mix(wall, WOOD, 0.45))
    left = x - 0.34
    while left < x + 0.24:
        width = rng.uniform(0.05, 0.10)
        colour = mix(wall, SHIRTS[rng.integers(len(SHIRTS))], 0.35)
        canvas.box(left, 1.45, left + width, 1.45 + rng.uniform(0.2, 0.32), colour)
        left += width + 0.012


def draw_lamp(canvas: Canvas, x: float, wall: Colour, rng: np.random.Generator) -> None:
    shade = (250, 226, 168) if rng.uniform() < 0.5 else mix(wall, WHITE, 0.6)
    canvas.limb([(x, 0.18), (x, 1.5)], 0.03, mix(wall, (70, 66, 72), 0.5))
    canvas.oval((x, 0.16), 0.15, 0.03, mix(wall, (70, 66, 72), 0.5))
    canvas.shape([(x - 0.21, 1.42), (x + 0.21, 1.42), (x + 0.13, 1.74), (x - 0.13, 1.74)], shade)
