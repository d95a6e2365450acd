"""The ten actions as movements: poses at key times, and what lies between them.

Two pairs of actions are the same movement played backwards (sitting_down / standing_up, opening_door /
closing_door): only the order of the frames tells them apart, so a model that ignores order is at chance inside a pair.

x points the way the figure faces, y up, the ground is y = 0. A `Motion` holds one value per frame and joint target, in leg
and arm lengths, so that every performer can do it; knees and elbows follow from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Motion = dict[str, np.ndarray]
Pose = dict[str, float]
Keys = Sequence[tuple[float, Pose]]

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


def move(action: str, num_frames: int, rng: np.random.Generator, *, fps: float) -> Motion:
    """The movement of an action with a random speed and phase: pose values (N,) by name, see STAND."""
    if action in REVERSED:
        return {name: values[::-1] for name, values in move(REVERSED[action], num_frames, rng, fps=fps).items()}
    times = (np.arange(num_frames) + 0.5) / fps
    if action in CHANGES:
        return tween(CHANGES[action], share_done(times, num_frames / fps, rng))
    seconds, keys = LOOPS.get(action, (1.1, []))
    phase = rng.uniform() + times / seconds * rng.uniform(0.85, 1.2)
    return stride(phase) if action == "walking" else tween(around(keys), phase % 1.0)


def share_done(times: np.ndarray, duration: float, rng: np.random.Generator) -> np.ndarray:
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
