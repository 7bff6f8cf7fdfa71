"""Your own eye-tracking data: a folder of images with a table of fixations, or one file an image."""

from salzoo.data.folder.dataset import FixationFolder

__all__ = ["FixationFolder"]
