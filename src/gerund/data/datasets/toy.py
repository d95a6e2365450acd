"""The toy action set: a figure in a room does ten things, in real compressed video files; no download.

Two pairs of actions are the same movement played backwards (sitting_down / standing_up, opening_door /
closing_door): only the order of the frames tells them apart, so a model that ignores order is at chance inside a pair.

Lengths are metres; x points the way the figure faces, y up, the ground is y = 0. A `Motion` holds one value per frame
and joint target, in leg and arm lengths, so that every performer can do it; knees and elbows follow from them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gerund.core.errors import DataError, UsageError
from gerund.core.files import beside
from gerund.core.types import Clip
from gerund.data.manifest import read_manifest, write_manifest
from gerund.video import video

MANIFEST = "manifest.csv"
"""Written last: a folder that holds it is complete."""

Motion = dict[str, np.ndarray]
Pose = dict[str, float]
Keys = Sequence[tuple[float, Pose]]
Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 3
VIEW = 2.5
"""Metres from the lower to the upper edge of the picture; a figure is 1.6 to 1.85 m tall."""
GROUND = 0.12
"""Share of the picture's height below the ground line."""

STAND: Pose = {
    "hip_x": 0.0, "hip_y": 0.97, "lean": 2.0,  # leg lengths, leg lengths above the ground, degrees forward
    "hand": 12.0, "reach": 0.97, "far_hand": -6.0, "far_reach": 0.97,  # degrees forward of hanging down, arm lengths
    "foot_x": 0.10, "foot_y": 0.0, "far_foot_x": -0.12, "far_foot_y": 0.0,  # ankles, leg lengths
    "door": 0.0, "grip": 0.0,  # how far the door is open, how much the hand is at its handle, 0 to 1
}  # fmt: skip
GUARD: Pose = {
    "hip_y": 0.90, "foot_x": 0.34, "far_foot_x": -0.36,
    "hand": 70.0, "reach": 0.45, "far_hand": 80.0, "far_reach": 0.42,
}  # fmt: skip
CROUCH: Pose = {"hip_x": -0.08, "hip_y": 0.66, "lean": 32.0, "hand": -45.0, "far_hand": -55.0}
LANDING: Pose = {**CROUCH, "hip_y": 0.76, "hand": 20.0, "far_hand": 10.0}
FLIGHT: Pose = {
    "hip_y": 1.38, "foot_x": 0.05, "foot_y": 0.45, "far_foot_y": 0.42,
    "hand": 146.0, "reach": 1.0, "far_hand": 132.0,
}  # fmt: skip
DEEP: Pose = {
    "hip_x": -0.20, "hip_y": 0.40, "lean": 34.0,
    "hand": 92.0, "reach": 1.0, "far_hand": 84.0, "far_reach": 1.0,
}  # fmt: skip
TUCKED: Pose = {**GUARD, "foot_x": 0.30, "foot_y": 0.38}
KICK: Pose = {**GUARD, "hip_x": -0.05, "hip_y": 0.95, "lean": -22.0, "foot_x": 1.02, "foot_y": 1.00}
JAB: Pose = {**GUARD, "hip_x": 0.05, "lean": 10.0, "hand": 90.0, "reach": 1.0}
CROSS: Pose = {**GUARD, "hip_x": 0.08, "lean": 12.0, "far_hand": 90.0, "far_reach": 1.0}
SEATED: Pose = {
    "hip_x": -0.52, "hip_y": 0.53, "lean": 0.0,
    "hand": 42.0, "reach": 0.78, "far_hand": 36.0, "far_reach": 0.78,
}  # fmt: skip
STEPPED: Pose = {"hip_x": 0.62, "foot_x": 0.84, "far_foot_x": 0.46}

LOOPS: dict[str, tuple[float, Keys]] = {
    "jumping": (1.1, [(0.0, {}), (0.3, CROUCH), (0.55, FLIGHT), (0.8, LANDING)]),
    "waving": (0.7, [(0.0, {"hand": 128.0, "lean": -3.0}), (0.5, {"hand": 222.0, "lean": 5.0, "hip_x": 0.03})]),
    "squatting": (1.3, [(0.0, {}), (0.12, {}), (0.5, DEEP), (0.6, DEEP)]),
    "kicking": (1.0, [(0.0, GUARD), (0.2, TUCKED), (0.4, KICK), (0.6, TUCKED)]),
    "punching": (0.75, [(0.0, JAB), (0.22, GUARD), (0.5, CROSS), (0.72, GUARD)]),
}
"""Movements that repeat: seconds per turn, and poses (what differs from STAND) around the turn."""

CHANGES: dict[str, Keys] = {
    "sitting_down": [
        (0.0, {}),
        (0.45, {"hip_x": -0.30, "hip_y": 0.76, "lean": 36.0, "hand": 40.0, "far_hand": 30.0}),
        (0.8, {**SEATED, "lean": 20.0, "hip_y": 0.54}),
        (1.0, SEATED),
    ],
    "opening_door": [
        (0.0, {}),
        (0.22, {"grip": 1.0, "lean": 6.0}),
        (0.5, {"grip": 1.0, "door": 0.5, "lean": 12.0, "hip_x": 0.34, "foot_x": 0.55, "foot_y": 0.12}),
        (0.78, {**STEPPED, "grip": 1.0, "door": 1.0, "lean": 12.0, "far_foot_x": 0.30, "far_foot_y": 0.06}),
        (1.0, {**STEPPED, "door": 1.0}),
    ],
}
"""Movements that lead from one pose to another."""

REVERSED = {"standing_up": "sitting_down", "closing_door": "opening_door"}
"""Action -> the action that it is, played backwards."""

ACTIONS = ("walking", *LOOPS, "sitting_down", "standing_up", "opening_door", "closing_door")
PROPS = {"sitting_down": "chair", "standing_up": "chair", "opening_door": "door", "closing_door": "door"}
MIDDLE = {"chair": -0.15, "door": 0.5}
"""Where, in metres from where the figure first stands, the camera looks for the sake of a prop."""

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


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """The toy set in the folder `path`: 720 clips, train and test; written first if it is not there yet (20 s, 25 MB).

    `split` is there because every data set has it; this one has a single official split, by performer.
    Raises DataError when the folder holds something else, or lost some of its videos.
    """
    if not (path / MANIFEST).is_file():
        return make(path)
    clips = read_manifest(path / MANIFEST)
    missing = [clip.path for clip in clips if not clip.path.is_file()]
    if missing:
        lost = f"{len(missing)} of {len(clips)} videos are missing (first: {missing[0]})"
        raise DataError(f"{path}: {lost}; delete the folder, and it is made anew")
    return clips


def make(
    path: Path,
    *,
    seed: int = 0,
    performers: int = 24,
    clips_per_action: int = 3,
    size: tuple[int, int] = (120, 160),
    fps: float = 25.0,
) -> list[Clip]:
    """Write the set and return its clips: a video per performer, action and take; `size` is (height, width) in pixels.

    Every third performer is test, the others train. The folder appears whole or not at all: everything is written into
    a hidden folder next to it, which is then renamed. Raises DataError when `path` holds something already.
    """
    if performers < 2:
        raise UsageError(f"performers = {performers}: at least 2, one to train on and one to test on")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: not empty, and without a {MANIFEST} no toy set; delete it or choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = beside(path.parent.resolve() / path.name)
    shutil.rmtree(folder, ignore_errors=True)
    takes = list(product(range(performers), ACTIONS, range(clips_per_action)))
    clips = [clip_of(folder, *take) for take in takes]

    def record(clip: Clip, take: tuple[int, str, int]) -> None:
        performer, action, number = take
        write_clip(clip.path, perform(action, performer, seed=seed, take=number, size=size, fps=fps), fps=fps)

    try:
        for action in ACTIONS:
            (folder / action).mkdir(parents=True)
        # Threads, because worker processes would need a guarded __main__; encoding and scaling release the GIL.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(record, clips, takes))
        write_manifest(clips, folder / MANIFEST)
        publish(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return read_manifest(path / MANIFEST)


def clip_of(folder: Path, performer: int, action: str, take: int) -> Clip:
    """Split and container depend on the performer alone, so that they say nothing about the action."""
    suffix = ".avi" if performer % 4 == 1 else ".mp4"
    name = f"performer{performer:02d}"
    return Clip(
        path=folder / action / f"{name}-{take}{suffix}",
        label=action,
        split="test" if performer % 3 == 1 else "train",
        group=name,
    )


def write_clip(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """H.264 for .mp4, MPEG-4 part 2 for .avi; both at a quality that hides which frames were key frames."""
    if path.suffix == ".avi":
        video.write(path, frames, fps=fps, codec="mpeg4", options={"b": "1500k"})
    else:
        # Without mbtree=0, x264 (vectorised code, one thread) gave 6 different files in 12 writings of the same frames.
        options = {"crf": "21", "preset": "veryfast", "x264-params": "mbtree=0"}
        video.write(path, frames, fps=fps, options=options)


def publish(folder: Path, path: Path) -> None:
    """Give a finished folder its name; when another process was faster, its set (the same) stays."""
    try:
        folder.replace(path)
    except OSError:
        if not (path / MANIFEST).is_file():
            raise


def perform(
    action: str,
    performer: int = 0,
    *,
    seed: int = 0,
    take: int = 0,
    seconds: float | None = None,
    size: tuple[int, int] = (120, 160),
    fps: float = 25.0,
) -> np.ndarray:
    """One action as frames (N, H, W, 3) uint8 RGB; `size` is (height, width), `seconds` None draws a length, 1.6 to 3.

    The same arguments give the same pixels. Another `take` is another room, camera, speed and phase with the same body.
    Raises UsageError for an unknown action.
    """
    if action not in ACTIONS:
        raise UsageError(f"action {action!r} is not one of {', '.join(ACTIONS)}")
    body = draw_performer(np.random.default_rng([seed, performer]))
    rng = np.random.default_rng([seed, performer, ACTIONS.index(action), take])
    length = rng.uniform(1.6, 3.0) if seconds is None else seconds
    motion = move(action, max(1, round(length * fps)), rng, fps=fps)
    return film(motion, body, rng, prop=PROPS.get(action), size=size)


def draw_performer(rng: np.random.Generator) -> Performer:
    """A random body."""
    tall = rng.uniform(0.93, 1.05)
    return Performer(
        leg=0.86 * tall * rng.uniform(0.95, 1.05),
        torso=0.52 * tall * rng.uniform(0.95, 1.05),
        arm=0.62 * tall * rng.uniform(0.95, 1.05),
        head=0.14 * rng.uniform(0.92, 1.1),
        limb=rng.uniform(0.105, 0.15),
        shirt=SHIRTS[rng.integers(len(SHIRTS))],
        trousers=TROUSERS[rng.integers(len(TROUSERS))],
        skin=SKINS[rng.integers(len(SKINS))],
        hair=HAIRS[rng.integers(len(HAIRS))],
    )


def move(action: str, num_frames: int, rng: np.random.Generator, *, fps: float) -> Motion:
    """The movement of an action with a random speed and phase: pose values (N,) by name, see STAND."""
    if action in REVERSED:
        return {name: values[::-1] for name, values in move(REVERSED[action], num_frames, rng, fps=fps).items()}
    times = (np.arange(num_frames) + 0.5) / fps
    if action in CHANGES:
        return tween(CHANGES[action], progress(times, num_frames / fps, rng))
    seconds, keys = LOOPS.get(action, (1.1, []))
    phase = rng.uniform() + times / seconds * rng.uniform(0.85, 1.2)
    return stride(phase) if action == "walking" else tween(around(keys), phase % 1.0)


def progress(times: np.ndarray, duration: float, rng: np.random.Generator) -> np.ndarray:
    """0 to 1 with a rest before and after.

    Both rests have the same distribution and the middle is even in speed: nothing but the order of the poses may differ
    between a movement and its reverse.
    """
    moving = min(duration * rng.uniform(0.55, 0.75), 2.0)
    start = (duration - moving) * rng.uniform(0.25, 0.75)
    return np.clip((times - start) / moving, 0.0, 1.0)


def around(keys: Keys) -> Keys:
    """The poses of a turn with those of its neighbours, one turn earlier and later."""
    return [(time + turn, pose) for turn in (-1, 0, 1) for time, pose in keys]


def tween(keys: Keys, at: np.ndarray) -> Motion:
    """Poses at the times `at` (N,): a cubic through the key poses (Catmull-Rom), at rest at the first and the last."""
    times = np.array([time for time, _ in keys])
    table = np.array([list({**STAND, **pose}.values()) for _, pose in keys])
    slopes = np.zeros_like(table)
    slopes[1:-1] = (table[2:] - table[:-2]) / (times[2:] - times[:-2])[:, None]
    row = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    span = times[row + 1] - times[row]
    u = ((at - times[row]) / span)[:, None]
    ends = (2 * u**3 - 3 * u**2 + 1) * table[row] + (3 * u**2 - 2 * u**3) * table[row + 1]
    tangents = (u**3 - 2 * u**2 + u) * slopes[row] + (u**3 - u**2) * slopes[row + 1]
    motion = dict(zip(STAND, (ends + tangents * span[:, None]).T, strict=True))
    for name, highest in (("foot_y", np.inf), ("far_foot_y", np.inf), ("door", 1.0), ("grip", 1.0)):
        motion[name] = np.clip(motion[name], 0.0, highest)
    return motion


def stride(phase: np.ndarray) -> Motion:
    """Walking: each foot stands for half a turn while the hip moves on, then swings forward; arms swing against it."""
    step = 0.34  # leg lengths from below the hip to the foot at contact
    motion = {name: np.full(len(phase), value) for name, value in STAND.items()}
    motion["hip_x"] = (phase - phase.mean()) * 4 * step
    motion["hip_y"] = 0.945 + 0.02 * np.cos(4 * np.pi * (phase - 0.25))
    motion["lean"] = np.full(len(phase), 5.0)
    for side, shift in (("", 0.0), ("far_", 0.5)):
        turn = (phase + shift) % 1.0
        swing = np.clip(turn * 2 - 1, 0.0, 1.0)
        motion[f"{side}foot_x"] = motion["hip_x"] + step * np.where(turn < 0.5, 1 - 4 * turn, -np.cos(np.pi * swing))
        motion[f"{side}foot_y"] = 0.20 * np.sin(np.pi * swing)
        motion[f"{side}hand"] = 5.0 - 32.0 * np.cos(2 * np.pi * turn)
    return motion


def skeleton(motion: Motion, body: Performer) -> dict[str, np.ndarray]:
    """Joints (N, 2) in metres, and `handle` (N, 2), where the door is gripped."""
    ankle = np.array([0.0, 0.05])
    hip = np.stack([motion["hip_x"], motion["hip_y"]], axis=1) * body.leg + ankle
    neck = hip + polar(180.0 - motion["lean"], body.torso)
    joints = {"hip": hip, "neck": neck, "head": neck + polar(180.0 - motion["lean"] * 0.4, body.head * 1.28)}
    edge = door_edge(motion["door"])
    joints["handle"] = np.stack([edge + 0.05, np.full(len(edge), SKIRTING + 0.86)], axis=1)
    for side, sideways in (("", 0.03), ("far_", -0.03)):
        # A little sideways: seen not quite from the side, so that far limbs do not vanish behind near ones.
        shoulder = neck + np.array([-sideways, -0.05])
        hand = shoulder + polar(motion[f"{side}hand"], motion[f"{side}reach"] * body.arm)
        if not side:
            hand += (joints["handle"] - hand) * motion["grip"][:, None]
        foot = np.stack([motion[f"{side}foot_x"], motion[f"{side}foot_y"]], axis=1) * body.leg + ankle
        top = hip + np.array([-sideways, 0.0])
        joints[f"{side}elbow"], joints[f"{side}hand"] = bent(shoulder, hand, body.arm, bend=-1)
        joints[f"{side}knee"], joints[f"{side}foot"] = bent(top, foot, body.leg, bend=1)
        joints[f"{side}shoulder"], joints[f"{side}top"] = shoulder, top
    return joints


def polar(degrees: np.ndarray, length: np.ndarray | float) -> np.ndarray:
    """Vectors (N, 2) at an angle forward of straight down."""
    angle = np.radians(degrees)
    return np.stack([np.sin(angle), -np.cos(angle)], axis=1) * np.broadcast_to(length, angle.shape)[:, None]


def bent(root: np.ndarray, end: np.ndarray, length: float, *, bend: int) -> tuple[np.ndarray, np.ndarray]:
    """Middle joint and end (N, 2) of a limb of two equal bones, drawn in if out of reach; `bend`: knees 1, elbow -1."""
    away = end - root
    distance = np.linalg.norm(away, axis=1, keepdims=True)
    direction = away / np.maximum(distance, 1e-6)
    distance = np.clip(distance, 0.15 * length, 0.999 * length)
    height = np.sqrt((length / 2) ** 2 - (distance / 2) ** 2)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    return root + direction * distance / 2 + normal * height * bend, root + direction * distance


def door_edge(opened: np.ndarray) -> np.ndarray:
    """x of the door's free edge, for openings 0 to 1 (0 to 78 degrees, away from the viewer)."""
    return HINGE - DOOR_WIDTH * np.cos(np.radians(78.0 * opened))


def film(motion: Motion, body: Performer, rng: np.random.Generator, *, prop: str | None, size: tuple[int, int]) -> np.ndarray:
    """Frames (N, H, W, 3) uint8 of a movement, in a random room, seen by a random camera."""
    height, width = size
    facing = int(rng.choice((-1, 1)))
    joints = skeleton(motion, body)
    middle = joints["hip"][:, 0] if prop is None else np.full(len(joints["hip"]), MIDDLE[prop])
    camera = draw_camera(middle * facing, rng)
    room = Room(camera, size, rng)
    if prop == "chair":
        draw_chair(room.canvas(facing))
    if prop == "door":
        draw_frame(room.canvas(facing))
    frames = np.empty((len(camera.x), height, width, 3), np.uint8)
    for i, (x, view) in enumerate(zip(camera.x, camera.view, strict=True)):
        layer = Image.new("RGBA", (width * OVERSAMPLING, height * OVERSAMPLING))
        scale = height * OVERSAMPLING / view
        canvas = Canvas(layer, scale, (layer.width / 2 - x * scale, layer.height - GROUND * layer.height), facing)
        if prop == "door":
            draw_door(canvas, float(motion["door"][i]))
        draw_figure(canvas, {name: (float(point[i, 0]), float(point[i, 1])) for name, point in joints.items()}, body)
        frames[i] = np.asarray(over(room.seen(x, view), layer))
    return frames


def draw_camera(follow: np.ndarray, rng: np.random.Generator) -> Camera:
    """A mild pan and zoom, drawn without a look at the action, that keeps `follow` (N,) in the picture."""
    time = np.linspace(-0.5, 0.5, len(follow))
    drift = float(np.ptp(follow))
    kept = max(0.0, 1.0 - 1.3 / drift) if drift else 0.0
    middle = float((follow.max() + follow.min()) / 2)
    view = VIEW * rng.uniform(0.97, 1.05) * (1 + rng.uniform(-0.06, 0.06) * time)
    pan = rng.uniform(-0.15, 0.15) + rng.uniform(-0.2, 0.2) * time
    return Camera(x=middle + (follow - middle) * kept + pan, view=view)


def over(picture: Image.Image, layer: Image.Image) -> Image.Image:
    """The picture with a layer, OVERSAMPLING times as large, laid over it; only where the layer has something."""
    bounds = layer.getbbox()
    if bounds is None:
        return picture
    left, top = (side // OVERSAMPLING * OVERSAMPLING for side in bounds[:2])
    right, bottom = (-(-side // OVERSAMPLING) * OVERSAMPLING for side in bounds[2:])
    part = layer.crop((left, top, right, bottom)).reduce(OVERSAMPLING)
    picture.paste(part, (left // OVERSAMPLING, top // OVERSAMPLING), part)
    return picture


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
        panel = [between(corners, u, v) for u, v in ((0.16, low), (0.16, high), (0.84, high), (0.84, low))]
        canvas.shape(panel, mix(colour, WHITE, 0.12))
    canvas.oval((edge + 0.05 + 0.02 * (1 - away), SKIRTING + 0.86), 0.035, 0.035, (232, 196, 96))


def between(corners: Sequence[Point], u: float, v: float) -> Point:
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
