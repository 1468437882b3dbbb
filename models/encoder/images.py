"""Image files of items, as the image processor of a vision-language model reads them."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from PIL import Image, ImageOps
from torch import Tensor
from transformers import AutoImageProcessor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # for others Pillow may start programs (EPS: Ghostscript)
MOST_PIXELS = 1 << 26  # of a file, which take 200 MB before the processor makes them fewer
T = TypeVar("T")


class Patches(NamedTuple):
    """An image as the vision tower takes it.

    pixels  [patches, values] float32
    grid    [1, 3] int64 patches in time, height and width
    """

    pixels: Tensor
    grid: Tensor


class Images:
    """The images beneath a folder. One that leads outside, is not there or cannot be decoded is left out, and counted.

    folder  that names of images are relative to
    model   folder or name of the model whose image processor reads them and bounds their size
    raises  OSError or ValueError if the model has no image processor, or one unlike Qwen-VL's
    """

    def __init__(self, folder: str, model: str) -> None:
        self.folder = Path(folder).resolve()
        # By Pillow also where torchvision is installed: equal versions give equal vectors.
        chosen = {"backend": "pil", "trust_remote_code": False}
        self.processor: Any = AutoImageProcessor.from_pretrained(model, **chosen)  # type: ignore[no-untyped-call]  # transformers: no types
        if "image_grid_thw" not in self.processor.model_input_names:
            raise ValueError("its image processor gives no grid of patches: only models like Qwen-VL look at images")
        self.lock = Lock()  # texts and images are read ahead in a thread each
        self.left_out = 0
        self.example = ""

    def tokens(self, name: str) -> int | None:
        """How many tokens an image takes, told from the head of its file; None if it is left out."""

        def count(image: Image.Image) -> int:
            patches = self.processor.get_number_of_image_patches(image.height, image.width)
            return int(patches // self.processor.merge_size**2) + 2  # between vision start and vision end

        return self._opened(name, count)

    def patches(self, name: str) -> Patches | None:
        """What the processor makes of an image, decoded; None if it is left out."""

        def decode(image: Image.Image) -> Patches:
            made = self.processor(ImageOps.exif_transpose(image), return_tensors="pt")
            return Patches(made["pixel_values"], made["image_grid_thw"])

        return self._opened(name, decode)

    def _opened(self, name: str, use: Callable[[Image.Image], T]) -> T | None:
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
        """Names come with the data: none may open what lies elsewhere, also not by a link."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError("it leads outside the folder")
        if not path.is_file():
            raise ValueError("there is no such file")
        return path
