"""The kinds of files that people have: small ones, made with the ffmpeg program, in which every picture tells which one it is.

`KINDS` maps a file name, which says what is special about the file, to the function that writes it.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

Make = Callable[[Path], None]
SIZE = (72, 96)
"""Height and width of most pictures."""
COUNT = 50
"""Pictures of most files: two seconds at 25 per second."""

X264 = "-c:v libx264 -preset veryfast -crf 12 -pix_fmt yuv420p"
X265 = "-c:v libx265 -preset ultrafast -crf 12 -pix_fmt yuv420p -tag:v hvc1 -x265-params log-level=error"
VP8 = "-c:v libvpx -b:v 2M -deadline realtime -cpu-used 4 -auto-alt-ref 1 -lag-in-frames 16"
VP9 = "-c:v libvpx-vp9 -b:v 2M -deadline good -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 16"
AV1 = "-c:v libaom-av1 -b:v 2M -cpu-used 8 -lag-in-frames 19 -g 25"
MPEG4 = "-c:v mpeg4 -qscale:v 2"
MPEG2 = "-c:v mpeg2video -qscale:v 2 -bf 2 -g 12"


def card(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Picture `number`, (H, W, 3) uint8: a rising grey, the number in eight black or white cells, a mark of its own in each corner."""
    height, width = size
    picture = np.full((height, width, 3), 50 + 3 * number % 150, np.uint8)
    for bit in range(8):
        top, left = height // 4 + bit // 4 * (height // 4), (1 + 3 * (bit % 4)) * width // 14
        picture[top : top + height // 4, left : left + 3 * width // 14] = 235 if number >> bit & 1 else 16
    colours = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30))
    for corner, colour in enumerate(colours):
        rows = slice(0, height // 5) if corner < 2 else slice(height - height // 5, height)
        columns = slice(0, width // 5) if corner % 2 == 0 else slice(width - width // 5, width)
        picture[rows, columns] = colour
    return picture


def ffmpeg(*words: str | Path, pictures: bytes | None = None) -> None:
    """Run the program; what it complains about ends the benchmark."""
    command = ["ffmpeg", "-y", "-loglevel", "error", *map(str, words)]
    done = subprocess.run(command, input=pictures, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr.decode(errors='replace')}")


def coded(
    words: str,
    *,
    count: int = COUNT,
    rate: str = "25",
    size: tuple[int, int] = SIZE,
    sound: str = "",
    before: str = "",
) -> Make:
    """A file encoded from cards. `sound`: "first" or "last" in the file, or none."""

    def make(path: Path) -> None:
        raw = b"".join(card(number, size).tobytes() for number in range(count))
        given = f"-f rawvideo -pix_fmt rgb24 -s {size[1]}x{size[0]} -framerate {rate} -i -".split()
        seconds = count / float(eval_rate(rate))
        tone = f"{before} -f lavfi -i sine=440:d={seconds:.3f}".split() if sound else []
        order = {"first": "-map 1:a -map 0:v", "last": "-map 0:v -map 1:a", "": "-map 0:v"}[sound]
        ffmpeg(*given, *tone, *order.split(), *words.split(), path, pictures=raw)

    return make


def eval_rate(rate: str) -> float:
    above, _, below = rate.partition("/")
    return float(above) / float(below or 1)


def remade(source: str, words: str, before: str = "") -> Make:
    """A file made from that of another kind: `words` behind its name, `before` in front of it."""

    def make(path: Path) -> None:
        ffmpeg(*before.split(), "-i", made(source, path.parent), *words.split(), path)

    return make


def made(name: str, folder: Path) -> Path:
    """The file of a kind, written if it is not there yet."""
    path = folder / name
    if not path.exists():
        KINDS[name](path)
    return path


def changed(source: str, change: Callable[[bytearray], bytes | bytearray]) -> Make:
    """A file whose bytes are those of another kind, changed."""

    def make(path: Path) -> None:
        path.write_bytes(change(bytearray(made(source, path.parent).read_bytes())))

    return make


def with_matrix(a: int, b: int, c: int, d: int) -> Callable[[bytearray], bytearray]:
    """Give the picture track of an MP4 a display matrix: x' = a x + c y, y' = b x + d y."""

    def change(data: bytearray) -> bytearray:
        at = 0
        while (at := data.find(b"tkhd", at)) >= 0:
            start = at + 8 + (32 if data[at + 4] else 20) + 16
            if struct.unpack(">I", data[start + 36 : start + 40])[0]:  # a track with a width
                values = (a, b, 0, c, d, 0, 0, 0, 1 << 14)
                struct.pack_into(">9i", data, start, *(value << 16 for value in values))
            at += 4
        return data

    return change


def edit_shortened(data: bytearray, *, share: float) -> bytearray:
    """Let the edit lists of an MP4 end after a share of their time: the rest is there, but not shown."""
    at = 0
    while (at := data.find(b"elst", at)) >= 0:
        last = at + 12 + 12 * (struct.unpack(">I", data[at + 8 : at + 12])[0] - 1)
        (length,) = struct.unpack(">I", data[last : last + 4])
        struct.pack_into(">I", data, last, int(length * share))
        at += 4
    return data


def cut_out(data: bytearray, *, start: float, end: float, unit: int = 188) -> bytearray:
    """A part of a stream that was cut without looking at what it holds, as recorders and `split` do."""
    return data[int(len(data) * start) // unit * unit : int(len(data) * end) // unit * unit]


def animation(durations: Sequence[int], *, moving: bool = False, **options: object) -> Make:
    """An animated GIF, PNG or WebP by Pillow: cards, or a small thing that moves over one, each for so many milliseconds."""

    def make(path: Path) -> None:
        from PIL import Image

        pictures = []
        for number in range(len(durations)):
            picture = card(0 if moving else number)
            if moving:
                picture[30:42, 2 * number : 2 * number + 12] = (255, 255, 255)
            pictures.append(Image.fromarray(picture))
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(durations), loop=0, **options)

    return make


COVERED = "-map 0 -map 1:a -map 1:v -map 2 -c copy -c:s mov_text -c:v:0 png -disposition:v:0 attached_pic"


def subtitled(path: Path) -> None:
    """Subtitles, chapters and a cover beside the pictures, the cover first."""
    words = path.with_suffix(".srt")
    words.write_text("1\n00:00:00,100 --> 00:00:01,500\nhello\n", encoding="utf-8")
    cover = path.with_suffix(".png")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=40x40", "-frames:v", "1", cover)
    ffmpeg("-i", cover, "-i", made("h264 sound first.mp4", path.parent), "-i", words, *COVERED.split(), path)
    words.unlink()
    cover.unlink()


UNEVEN = "-vf setpts=N+floor(N/5)*2+floor(N/7) -fps_mode passthrough"
SLOW_LAST = "setts=duration='if(eq(N,49),DURATION*40,DURATION)'"
LATE, LATE_WORDS = "-f lavfi -i sine=440:d=3 -itsoffset 0.5", "-map 0 -map 1:v -c:v copy"
FIELDS = "-flags +ildct+ilme -top 1 -vf setfield=tff"

KINDS: dict[str, Make] = {
    "h264.mp4": coded(X264),
    "h264.mov": coded(X264),
    "h264.mkv": coded(X264),
    "h264.flv": coded(X264),
    "h264.ts": coded(X264),
    "h264.m2ts": coded(X264),
    "h264 no b-frames.mp4": coded(f"{X264} -bf 0"),
    "h264 no b-frames.avi": coded(f"{X264} -bf 0"),
    "h264 b-frames.avi": coded(f"{X264} -bf 3", rate="30"),
    "h264 b-frames sound.avi": coded(f"{X264} -bf 3", rate="30", sound="first"),
    "h264 25.h264": coded(f"{X264} -bf 0"),
    "h264 30.h264": coded(f"{X264} -bf 0", rate="30", count=60),
    "h264 30 b-frames.h264": coded(f"{X264} -bf 3", rate="30", count=60),
    "h264 29.97 b-frames.h264": coded(X264, rate="30000/1001", count=29),
    "h264 50.264": coded(f"{X264} -f h264", rate="50", count=100),
    "hevc 30.hevc": coded(X265, rate="30", count=60),
    "hevc 25.h265": coded(f"{X265} -f hevc"),
    "mpeg4 30.m4v": coded(f"{MPEG4} -bf 2 -f m4v", rate="30", count=60),
    "mpeg2 30.m2v": coded(MPEG2, rate="30", count=60),
    "mjpeg.mjpeg": coded("-c:v mjpeg -q:v 2 -pix_fmt yuvj420p"),
    "h264 open gop.mp4": coded(f"{X264} -x264-params open-gop=1:keyint=12:bframes=3:b-adapt=0"),
    "h264 open gop.ts": coded(f"{X264} -x264-params open-gop=1:keyint=12:bframes=3:b-adapt=0"),
    "h264 open gop 240.mp4": coded(f"{X264} -x264-params open-gop=1:keyint=48:bframes=3", rate="240", count=250),
    "h264 240.mp4": coded(f"{X264} -g 60", rate="240", count=250),
    "h264 240 sound first.mkv": coded(f"{X264} -g 60", rate="240", count=250, sound="first"),
    "h264 240 one key frame.mp4": coded(f"{X264} -g 1000", rate="240", count=250),
    "hevc 120 open gop.mp4": coded(f"{X265}:open-gop=1:keyint=24:min-keyint=24", rate="120", count=200),
    "h264 all key frames.mp4": coded(f"{X264} -g 1"),
    "h264 pyramid.mp4": coded(f"{X264} -x264-params bframes=8:b-pyramid=normal:b-adapt=0:ref=5"),
    "h264 slices.mp4": coded(f"{X264} -slices 4"),
    "h264 29.97.mp4": coded(X264, rate="30000/1001"),
    "h264 23.976.mkv": coded(X264, rate="24000/1001"),
    "h264 5 per second.mp4": coded(X264, rate="5", count=15),
    "h264 one picture.mp4": coded(X264, count=1),
    "h264 two pictures sound first.mp4": coded(X264, count=2, sound="first"),
    "h264 four pictures sound first.mp4": coded(X264, count=4, rate="10", sound="first"),
    "h264 sound first.mp4": coded(X264, sound="first"),
    "h264 sound first.mkv": coded(X264, sound="first"),
    "h264 sound first.ts": coded(X264, sound="first"),
    "h264 sound first.avi": coded(f"{X264} -bf 0", sound="first"),
    "h264 sound first.flv": coded(X264, sound="first"),
    "h264 sound last.mp4": coded(X264, sound="last"),
    "h264 sound last.mov": coded(f"{X264} -c:a pcm_s16le", sound="last"),
    "h264 fragments.mp4": coded(f"{X264} -g 12 -movflags frag_keyframe+empty_moov", sound="first"),
    "h264 fragments delayed moov.mp4": coded(f"{X264} -g 12 -movflags frag_keyframe+delay_moov", sound="last"),
    "h264 negative offsets.mp4": coded(f"{X264} -movflags negative_cts_offsets"),
    "h264 no edit list.mp4": coded(f"{X264} -use_editlist 0"),
    "h264 index in front.mp4": coded(f"{X264} -movflags faststart", sound="last"),
    "h264 subtitles cover.mp4": subtitled,
    "h264 timecode.mov": coded(f"{X264} -timecode 10:00:00:00", sound="first"),
    "h264 trimmed.mp4": remade("h264 b-frames long gop.mp4", "-c copy", "-ss 1.03"),
    "h264 b-frames long gop.mp4": coded(f"{X264} -g 24 -bf 3", rate="30", count=90),
    "h264 trimmed sound.mp4": remade("h264 b-frames long gop sound.mp4", "-c copy", "-ss 1.03"),
    "h264 b-frames long gop sound.mp4": coded(f"{X264} -g 24 -bf 3", rate="30", count=90, sound="first"),
    "h264 trimmed twice.mp4": remade("h264 trimmed sound.mp4", "-c copy", "-ss 0.5 -t 1"),
    "h264 trimmed.mov": remade("h264 b-frames long gop sound.mp4", "-c copy", "-ss 1.03"),
    "h264 trimmed.mkv": remade("h264 b-frames long gop sound.mp4", "-c copy", "-ss 1.03"),
    "h264 trimmed.ts": remade("h264 b-frames long gop sound.mp4", "-c copy", "-ss 1.03"),
    "h264 trimmed in front and behind.mp4": remade("h264 b-frames long gop sound.mp4", "-c copy", "-ss 1.03 -t 0.9"),
    "h264 240 trimmed.mp4": remade("h264 240.mp4", "-c copy", "-ss 0.4"),
    "h264 open gop trimmed.mp4": remade("h264 open gop.mp4", "-c copy", "-ss 0.7"),
    "h264 open gop trimmed.mkv": remade("h264 open gop.mp4", "-c copy", "-ss 0.7"),
    "h264 edit list ends early.mp4": changed("h264 sound first.mp4", partial(edit_shortened, share=0.6)),
    "hevc trimmed.mp4": remade("hevc 120 open gop.mp4", "-c copy", "-ss 0.5"),
    "mpeg4 trimmed.mp4": remade("mpeg4 b-frames.mp4", "-c copy", "-ss 1.03"),
    "mpeg2 trimmed.mpg": remade("mpeg2 sound.mpg", "-c copy", "-ss 0.7"),
    "vp9 trimmed.webm": remade("vp9.webm", "-c copy", "-ss 0.5"),
    "h264 start 5 s.mp4": remade("h264 sound first.mp4", "-c copy -map 0 -output_ts_offset 5"),
    "h264 start 5 s.mkv": remade("h264 sound first.mp4", "-c copy -map 0 -output_ts_offset 5"),
    "h264 start 5 s.ts": remade("h264 sound first.mp4", "-c copy -map 0 -output_ts_offset 5"),
    "h264 picture late.mp4": remade("h264.mp4", LATE_WORDS, LATE),
    "h264 picture late.mov": remade("h264.mp4", LATE_WORDS, LATE),
    "h264 picture late.mkv": remade("h264.mp4", LATE_WORDS, LATE),
    "h264 picture late.ts": remade("h264.mp4", LATE_WORDS, LATE),
    "mpeg4 picture late.avi": remade("mpeg4.avi", LATE_WORDS, LATE),
    "h264 picture late 240.mp4": remade("h264 240.mp4", LATE_WORDS, LATE),
    "vp9 picture late.webm": remade("vp9.webm", LATE_WORDS, LATE),
    "h264 sound late.mp4": coded(X264, sound="first", before="-itsoffset 0.7"),
    "h264 sound late.ts": coded(X264, sound="last", before="-itsoffset 0.7"),
    "h264 sound longer.mp4": remade("h264 sound first.mp4", "-f lavfi -i sine=300:d=4 -map 0:v -map 1 -c:v copy"),
    "h264 last picture long.mp4": remade("h264 no b-frames.mp4", f"-c copy -bsf:v {SLOW_LAST}"),
    "h264 last picture long.mov": remade("h264 no b-frames.mp4", f"-c copy -bsf:v {SLOW_LAST}"),
    "h264 last picture long.mkv": remade("h264 no b-frames.mp4", f"-c copy -bsf:v {SLOW_LAST}"),
    "vp9 last picture long.webm": remade("vp9.webm", f"-c copy -bsf:v {SLOW_LAST}"),
    "h264 uneven.mp4": coded(f"{X264} {UNEVEN}"),
    "h264 uneven.mkv": coded(f"{X264} {UNEVEN}"),
    "h264 uneven.ts": coded(f"{X264} {UNEVEN}"),
    "h264 uneven 120.mp4": coded(f"{X264} {UNEVEN}", rate="120", count=200),
    "vp9 uneven.webm": coded(f"{VP9} {UNEVEN}"),
    "h264 turned 90.mp4": changed("h264.mp4", with_matrix(0, 1, -1, 0)),
    "h264 turned 180.mp4": changed("h264.mp4", with_matrix(-1, 0, 0, -1)),
    "h264 turned 270.mp4": changed("h264.mp4", with_matrix(0, -1, 1, 0)),
    "h264 mirrored.mp4": changed("h264.mp4", with_matrix(-1, 0, 0, 1)),
    "h264 upside down.mp4": changed("h264.mp4", with_matrix(1, 0, 0, -1)),
    "h264 mirrored turned 90.mp4": changed("h264.mp4", with_matrix(0, 1, 1, 0)),
    "h264 mirrored turned 270.mp4": changed("h264.mp4", with_matrix(0, -1, -1, 0)),
    "h264 mirrored 240.mp4": changed("h264 240.mp4", with_matrix(-1, 0, 0, 1)),
    "mpeg4 mirrored.mp4": changed("mpeg4 b-frames.mp4", with_matrix(-1, 0, 0, 1)),
    "h264 turned 90.mov": remade("h264 turned 90.mp4", "-c copy"),
    "h264 wide pixels.mp4": coded(f"{X264} -vf setsar=4/3"),
    "h264 tall pixels turned.mp4": changed("h264 tall pixels.mp4", with_matrix(0, 1, -1, 0)),
    "h264 tall pixels.mp4": coded(f"{X264} -vf setsar=3/4"),
    "mpeg2 wide pixels.mpg": coded(f"{MPEG2} -aspect 16:9"),
    "h264 wide pixels.mkv": coded(f"{X264} -vf setsar=4/3", sound="first"),
    "vp9 odd size.webm": coded(VP9, size=(73, 99)),
    "mjpeg odd size.avi": coded("-c:v mjpeg -q:v 2 -pix_fmt yuvj420p", size=(73, 99)),
    "h264 4:4:4 odd size.mp4": coded(X264.replace("yuv420p", "yuv444p"), size=(73, 99)),
    "h264 cropped.mp4": coded(X264, size=(70, 90)),
    "h264 10 bit.mp4": coded(X264.replace("yuv420p", "yuv420p10")),
    "hevc 10 bit.mp4": coded(X265.replace("yuv420p", "yuv420p10")),
    "vp9 10 bit.webm": coded(f"{VP9} -pix_fmt yuv420p10"),
    "h264 4:2:2.mp4": coded(X264.replace("yuv420p", "yuv422p")),
    "h264 rgb.mp4": coded("-c:v libx264rgb -crf 12 -preset veryfast"),
    "h264 full range.mp4": coded(X264.replace("yuv420p", "yuvj420p")),
    "h264 bt709.mp4": coded(f"{X264} -vf scale=out_color_matrix=bt709 -colorspace bt709 -color_primaries bt709 -color_trc bt709"),
    "h264 interlaced.mp4": coded(f"{X264} {FIELDS}"),
    "h264 interlaced.ts": coded(f"{X264} {FIELDS}", sound="first"),
    "mpeg2 interlaced.mpg": coded(f"{MPEG2} {FIELDS}"),
    "hevc.mp4": coded(X265),
    "hevc.mkv": coded(X265, sound="first"),
    "hevc.ts": coded(f"{X265}:keyint=12:open-gop=0".replace("-tag:v hvc1", ""), sound="first"),
    "vp8.webm": coded(VP8),
    "vp8 sound first.webm": coded(VP8, sound="first"),
    "vp9.webm": coded(VP9),
    "vp9 sound first.mkv": coded(VP9, sound="first"),
    "vp9.mp4": coded(VP9),
    "av1.mp4": coded(AV1),
    "av1.mkv": coded(AV1, sound="first"),
    "av1.webm": coded(AV1),
    "av1.ivf": coded(AV1),
    "mpeg2.mpg": coded(MPEG2),
    "mpeg2 sound.mpg": coded(MPEG2, sound="first"),
    "mpeg2.ts": coded(MPEG2, sound="first"),
    "mpeg2.mkv": coded(MPEG2, sound="first"),
    "mpeg2.vob": coded(MPEG2, sound="first"),
    "mpeg1.mpg": coded("-c:v mpeg1video -qscale:v 2 -bf 2", sound="last"),
    "mpeg4.avi": coded(MPEG4),
    "mpeg4 b-frames.avi": coded(f"{MPEG4} -bf 2", rate="30", count=60),
    "mpeg4 b-frames copied with sound.avi": remade("mpeg4 b-frames.avi", "-f lavfi -i sine=d=2 -map 0:v -map 1:a -c:v copy -c:a mp3"),
    "mpeg4 b-frames sound first.avi": coded(f"{MPEG4} -bf 2", sound="first"),
    "xvid.avi": coded("-c:v libxvid -qscale:v 2 -bf 2 -g 30", sound="last"),
    "mpeg4 b-frames.mp4": coded(f"{MPEG4} -bf 2 -g 24", rate="30", count=90, sound="first"),
    "mpeg4.mkv": coded(f"{MPEG4} -bf 2", sound="first"),
    "h263.3gp": coded("-c:v h263 -qscale:v 2 -s 128x96"),
    "mjpeg.avi": coded("-c:v mjpeg -q:v 2 -pix_fmt yuvj420p", sound="first"),
    "mjpeg wide pixels.avi": coded("-c:v mjpeg -q:v 2 -pix_fmt yuvj420p -vf setsar=4/3"),
    "mjpeg.mov": coded("-c:v mjpeg -q:v 2 -pix_fmt yuvj422p", sound="last"),
    "prores.mov": coded("-c:v prores_ks -profile:v 3", sound="first"),
    "prores 4444.mov": coded("-c:v prores_ks -profile:v 4 -pix_fmt yuva444p10"),
    "dnxhd.mxf": coded("-c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p", size=(120, 256)),
    "ffv1.mkv": coded("-c:v ffv1", sound="first"),
    "huffyuv.avi": coded("-c:v huffyuv -pix_fmt yuv422p", sound="first"),
    "raw.avi": coded("-c:v rawvideo -pix_fmt bgr24"),
    "raw.y4m": coded("-pix_fmt yuv420p"),
    "theora.ogv": coded("-c:v libtheora -q:v 8", sound="first"),
    "wmv2.wmv": coded("-c:v wmv2 -qscale:v 2", sound="first"),
    "flv1.flv": coded("-c:v flv1 -qscale:v 2", sound="first"),
    "dv.dv": coded("-c:v dvvideo -s 720x576 -pix_fmt yuv420p -f dv", size=(576, 720), count=10),
    "even.gif": animation([40] * 30),
    "last picture long.gif": animation([100] * 10 + [3000]),
    "uneven.gif": animation([40, 200, 100, 20, 70] * 5),
    "moving thing.gif": animation([100] * 20, moving=True),
    "ffmpeg.gif": coded("", rate="20"),
    "even.apng": animation([40] * 30, format="PNG"),
    "last picture long.apng": animation([100] * 10 + [3000], format="PNG"),
    "moving thing.apng": animation([100] * 20, moving=True, format="PNG"),
    "ffmpeg.apng": coded("-c:v apng"),
    "even.webp": animation([40] * 30, lossless=True),
    "last picture long.webp": animation([100] * 10 + [3000], lossless=True),
    "moving thing.webp": animation([100] * 20, moving=True, lossless=True),
    "uneven.webp": animation([40, 200, 100, 20, 70] * 5),
    "h264 cut anywhere.ts": changed("h264 long.ts", partial(cut_out, start=0.3, end=0.8)),
    "h264 long.ts": coded(f"{X264} -g 24 -bf 3", count=100, sound="first"),
    "mpeg2 cut anywhere.ts": changed("mpeg2.ts", partial(cut_out, start=0.3, end=0.8)),
    "mpeg2 cut anywhere.mpg": changed("mpeg2 sound.mpg", partial(cut_out, start=0.3, end=0.8, unit=2048)),
    "hevc cut off.ts": changed("hevc.ts", partial(cut_out, start=0.0, end=0.8)),
}  # fmt: skip
