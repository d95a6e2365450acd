"""An action as frames: a performer, a room and a camera drawn at random, and the figure in each frame. Lengths are metres."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gerund.core.errors import UsageError
from gerund.data.datasets.toy.drawing import (
    GROUND,
    HAIRS,
    SHIRTS,
    SKINS,
    SKIRTING,
    TROUSERS,
    Camera,
    Canvas,
    Performer,
    Room,
    door_edge,
    draw_chair,
    draw_door,
    draw_figure,
    draw_frame,
)
from gerund.data.datasets.toy.movement import ACTIONS, Motion, move

OVERSAMPLING = 3
VIEW = 2.5
"""Metres from the lower to the upper edge of the picture; a figure is 1.6 to 1.85 m tall."""

PROPS = {"sitting_down": "chair", "standing_up": "chair", "opening_door": "door", "closing_door": "door"}
MIDDLE = {"chair": -0.15, "door": 0.5}
"""Where, in metres from where the figure first stands, the camera looks for the sake of a prop."""


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
