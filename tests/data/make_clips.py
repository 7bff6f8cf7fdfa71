"""Miniature datasets of videos in the layouts of the real ones; everything is drawn.

A light dot moves over grey noise, and people look at it. `dhf1k(root)`, `hollywood2(root)`, `ucf_sports(root)`,
`diem(root)`, `videos(root)`; `moving_dots` gives what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from clips import write_clip
from numpy.typing import NDArray
from PIL import Image

FRAMES, SIZE, OBSERVERS, RATE = 12, (36, 64), 4, 25


class Moving(NamedTuple):
    """A clip: (T, H, W, 3) uint8 frames, and (T, observers, 2) x and y at which each looks."""

    frames: NDArray[np.uint8]
    gaze: NDArray[np.float64]


def moving_dots(
    seed: int, frames: int = FRAMES, size: tuple[int, int] = SIZE, observers: int = OBSERVERS, spread: float = 1.0
) -> Moving:
    """Draw a clip of a light dot that goes from one place to another."""
    random = np.random.default_rng(seed)
    height, width = size
    ends = random.uniform(0.2, 0.8, (2, 2)) * (width, height)
    path = ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, frames)[:, None]
    y, x = np.mgrid[:height, :width]
    ground = random.integers(60, 120, (height, width))
    drawn = [np.where(np.hypot(x - px, y - py) < 4, 240, ground) for px, py in path]
    pixels = np.stack([np.stack([each] * 3, -1) for each in drawn]).astype(np.uint8)
    gaze = path[:, None] + random.normal(0, spread, (frames, observers, 2))
    return Moving(pixels, np.clip(gaze, 0, (width - 1, height - 1)))


def save_frames(folder: Path, frames: NDArray[np.uint8], name: Callable[[int], str]) -> Path:
    """Write frames as images."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(frames):
        Image.fromarray(pixels).save(folder / name(number))
    return folder


def save_truth(folder: Path, clip: Moving, name: Callable[[int], str]) -> None:
    """Write `maps/` and `fixation/` of a clip."""
    (folder / "maps").mkdir(parents=True)
    (folder / "fixation").mkdir()
    height, width = clip.frames.shape[1:3]
    y, x = np.mgrid[:height, :width]
    for number, places in enumerate(clip.gaze):
        points = np.zeros((height, width), np.uint8)
        points[np.rint(places[:, 1]).astype(int), np.rint(places[:, 0]).astype(int)] = 255
        blurred = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in places)
        Image.fromarray(points).save(folder / "fixation" / name(number))
        Image.fromarray((255 * blurred / np.max(blurred)).astype(np.uint8)).save(folder / "maps" / name(number))


def dhf1k(root: Path) -> Path:
    """Write `root/DHF1K`: clips 1, 2 and 3 (train), 601 (val) and 701 (test, no truth), as video, images and frames."""
    folder = root / "DHF1K"
    (folder / "video").mkdir(parents=True)
    for number in (1, 2, 3, 601, 701):
        clip = moving_dots(number)
        if number != 701:
            save_truth(folder / "annotation" / f"{number:04d}", clip, lambda i: f"{i + 1:04d}.png")
        if number == 2:
            images = folder / "annotation" / "0002" / "images"
            save_frames(images, clip.frames, lambda i: f"{i + 1:04d}.png")
        elif number == 3:
            save_frames(folder / "video" / "0003", clip.frames, lambda i: f"{i + 1:04d}.png")
        else:
            write_clip(folder / "video" / f"{number:03d}.AVI", list(clip.frames), 30, codec="mpeg4")
    return folder


def hollywood2(root: Path) -> Path:
    """Write `root/hollywood2`: three shots to train on, the second of which begins at frame 8, and one to test on."""
    folder = root / "hollywood2"
    for seed, (part, name, start) in enumerate(
        (
            ("training", "actioncliptrain00001_1", 1),
            ("training", "actioncliptrain00001_2", 8),
            ("training", "actioncliptrain00020_1", 1),
            ("testing", "actioncliptest00001_1", 1),
        )
    ):
        _shot(
            folder / part / name, seed, lambda i, name=name, start=start: f"{name.rpartition('_')[0]}_{i + start:05d}"
        )
    return folder


def ucf_sports(root: Path) -> Path:
    """Write `root/ucf_sports`: two clips to train on, one to test on."""
    folder = root / "ucf_sports"
    for seed, (part, name) in enumerate(
        (("training", "Diving-Side-001"), ("training", "Kicking-002"), ("testing", "Walk-Front-003"))
    ):
        _shot(folder / part / name, seed + 10, lambda i, name=name: f"{name.replace('-', '_')}_{i + 1:03d}")
    return folder


def _shot(folder: Path, seed: int, stem: Callable[[int], str]) -> None:
    clip = moving_dots(seed, frames=7)
    save_frames(folder / "images", clip.frames, lambda i: f"{stem(i)}.png")
    save_truth(folder, clip, lambda i: f"{stem(i)}.png")


def diem(root: Path, screen: tuple[int, int] = (1280, 960)) -> Path:
    """Write `root/DIEM`: five clips; the left eye sees 0.5 px to the left of the place, the right one to its right."""
    folder = root / "DIEM"
    for seed in range(5):
        name = f"clip_{'abcde'[seed]}_64x36"
        clip = moving_dots(seed)
        (folder / name / "video").mkdir(parents=True)
        (folder / name / "event_data").mkdir()
        write_clip(folder / name / "video" / f"{name}.mp4", list(clip.frames), 30)
        for observer in range(OBSERVERS):
            lines = []
            for number, places in enumerate(clip.gaze):
                x, y = places[observer] + ((screen[0] - 64) / 2, (screen[1] - 36) / 2)
                event = 2 if number == 5 else 1
                left, right = f"{x - 0.5}\t{y}\t900\t{event}", f"{x + 0.5}\t{y}\t950\t{event}"
                left = "0\t0\t0\t-1" if (observer, number) == (1, 3) else left
                lines.append(f"{number + 1}\t{left}\t{right}")
            lines.append(f"{FRAMES + 1}\t600\t400\t1\t1\t600\t400\t1\t1")  # after the clip's end
            (folder / name / "event_data" / f"diem1s{observer:02d}_{name}.txt").write_text("\n".join(lines))
    return folder


def videos(
    root: Path,
    clips: int = 10,
    frames: int = FRAMES,
    unit: float = 1.0,
    header: str = "video,subject,time,x,y",
    as_folders: bool = False,
    lead: int = 0,
) -> Path:
    """Write a study of one's own in `root`, one sample of gaze a frame and observer, in its middle.

    Args:
        root: Where to.
        clips: Number of clips.
        frames: Of each.
        unit: Units of time in a second.
        header: First line of the table.
        as_folders: Frames as images instead of video files.
        lead: Frames by which gaze is late.
    """
    (root / "videos").mkdir(parents=True)
    lines = [header]
    for number in range(clips):
        name, clip = f"clip{number}", moving_dots(number, frames)
        if as_folders:
            save_frames(root / "videos" / name, clip.frames, lambda i: f"{i:04d}.png")
        else:
            write_clip(root / "videos" / f"{name}.mp4", list(clip.frames), RATE)
        for observer in range(OBSERVERS):
            for frame in range(frames):
                x, y = clip.gaze[max(frame - lead, 0), observer]
                lines.append(f"{name},s{observer},{(frame + 0.5) / RATE * unit:.6f},{x:.3f},{y:.3f}")
    (root / "gaze.csv").write_text("\n".join(lines) + "\n")
    if as_folders:
        (root / "study.json").write_text(f'{{"fps": {RATE}}}')
    return root
