"""Draw the figure in the README: sample images beside the overlays of each model.

make picture
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from scenes import crowd

import salzoo
from salzoo.images.samples import sample_images

MODELS = ("deepgaze2e", "dsclrcn", "salgan", "bms", "centre_bias")
PICTURES = ("astronaut", "crowd", "coffee", "china", "pop_out_colour")
WIDTH, HEIGHT, LABEL = 200, 150, 22


def main() -> None:
    samples = sample_images() | {"crowd": crowd()}
    sheet = Image.new("RGB", (WIDTH * (1 + len(MODELS)), LABEL + HEIGHT * len(PICTURES)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, title in enumerate(("picture", *MODELS)):
        draw.text((column * WIDTH + 6, 2), title, fill="black", font=font)
    models = [salzoo.load(name) for name in MODELS]
    for row, name in enumerate(PICTURES):
        picture = samples[name]
        overlays = [model.predict(picture).overlay(picture) for model in models]
        for column, image in enumerate((picture, *overlays)):
            image = image.copy()
            image.thumbnail((WIDTH - 4, HEIGHT - 4), Image.Resampling.LANCZOS)
            sheet.paste(image, (column * WIDTH + (WIDTH - image.width) // 2, LABEL + row * HEIGHT))
    path = Path(__file__).parents[1] / "examples" / "overlays.png"
    sheet.quantize(256).save(path, optimize=True)
    print(f"{path} {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
