"""The only room that knows the decoder: reading, writing and drawing on video.

Others say `from gerund import video` and then `video.read(...)`, `video.write(...)`. Begin with `reader`.
"""

from gerund.video.converter import FrameConverter
from gerund.video.decoder import decode
from gerund.video.header import probe
from gerund.video.reader import frame_at, read, wanted_frames
from gerund.video.writer import Writer, write

__all__ = ["FrameConverter", "Writer", "decode", "frame_at", "probe", "read", "wanted_frames", "write"]
