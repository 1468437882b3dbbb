"""Image files of items, as the image processor of a vision-language model reads them."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from PIL import Image, ImageOps
from torch import Tensor
from transformers import AutoImageProcessor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # for other formats Pillow may start programs (EPS: Ghostscript)
MOST_PIXELS = 1 << 26  # of a file; they take 200 MB before the processor scales the image down
T = TypeVar("T")


class Patches(NamedTuple):
    """An image as the vision tower takes it.

    pixels  [patches, values] float32
    grid    [1, 3] int64 patches in time, height and width
    """

    pixels: Tensor
    grid: Tensor


class Images:
    """The images in a folder. An image that lies outside, is missing or cannot be decoded is left out and counted.

    folder  that names of images are relative to
    model   folder or name of the model whose image processor reads the images and limits their size
    raises  OSError or ValueError if the model has no image processor, or one unlike Qwen-VL's
    """

    def __init__(self, folder: str, model: str) -> None:
        self.folder = Path(folder).resolve()
        # Use Pillow even if torchvision is installed: equal versions must give equal vectors.
        options = {"backend": "pil", "trust_remote_code": False}
        self.processor: Any = AutoImageProcessor.from_pretrained(model, **options)  # type: ignore[no-untyped-call]  # transformers: no types
        if "image_grid_thw" not in self.processor.model_input_names:
            raise ValueError("its image processor gives no grid of patches: only models like Qwen-VL look at images")
        self.lock = Lock()  # one thread reads the next texts, another one the next images
        self.left_out = 0
        self.example = ""

    def tokens(self, name: str) -> int | None:
        """How many tokens an image takes, from the head of its file; None if the image is left out."""

        def count(image: Image.Image) -> int:
            patches = self.processor.get_number_of_image_patches(image.height, image.width)
            return int(patches // self.processor.merge_size**2) + 2  # between vision start and vision end

        return self._open(name, count)

    def patches(self, name: str) -> Patches | None:
        """The decoded image as the processor returns it; None if the image is left out."""

        def decode(image: Image.Image) -> Patches:
            processed = self.processor(ImageOps.exif_transpose(image), return_tensors="pt")
            return Patches(processed["pixel_values"], processed["image_grid_thw"])

        return self._open(name, decode)

    def _open(self, name: str, use: Callable[[Image.Image], T]) -> T | None:
        try:
            with Image.open(self._path(name), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"it has {image.width:,} x {image.height:,} pixels")
                return use(image)
        except Exception as error:  # what Pillow raises on a damaged file can be nearly anything
            with self.lock:
                self.left_out += 1
                self.example = self.example or f"{name!r} ({(str(error) or repr(error)).splitlines()[0][:200]})"
            return None

    def _path(self, name: str) -> Path:
        """The file of an image. Names come with the data: a name or a link may not lead outside the folder."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError("it leads outside the folder")
        if not path.is_file():
            raise ValueError("there is no such file")
        return path
