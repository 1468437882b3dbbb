"""Which device to use, and which number type is fast on it."""

import torch


def device() -> str:
    """The GPU if there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_bfloat16() -> bool:
    """Whether the GPU, or without one the processor (AMX or AVX512-BF16), computes bfloat16 faster than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def mixed_precision(device: torch.device, *, on_cpu: bool = False) -> torch.autocast:
    """Products in bfloat16 on a GPU with fast bfloat16. Weights, sums of gradients and losses stay float32.

    on_cpu  also on such a processor: worth it for large products
    """
    is_wanted = device.type == "cuda" or (on_cpu and device.type == "cpu")
    return torch.autocast(device.type, torch.bfloat16, enabled=is_wanted and fast_bfloat16())
