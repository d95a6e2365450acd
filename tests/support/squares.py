"""Clips of squares that walk left or right."""

import numpy as np

from gerund import video


def write_squares(folder, *, clips, frames):
    """Two classes: a bright square on the left or on the right, for a second; two clips of each group (left0-0.mp4, left0-1.mp4)."""
    for label, place in (("left", 0), ("right", 8)):
        (folder / label).mkdir(parents=True)
        for number in range(clips):
            picture = np.full((16, 16, 3), 10 * number, np.uint8)
            picture[4:12, place : place + 8] = 200
            video.write(folder / label / f"{label}{number // 2}-{number % 2}.mp4", [picture] * frames, fps=frames)
    return folder
