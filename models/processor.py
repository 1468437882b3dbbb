"""Processors that promise what they do not have."""

import ctypes
import mmap
import os

# push rbx; mov eax, 1DH; xor ecx, ecx; cpuid; pop rbx; ret: how many shapes of AMX tiles there are
TILES = bytes.fromhex("53b81d00000031c90fa25bc3")


def spare_amx() -> None:
    """Keep torch from AMX where a virtual machine announces it without tiles: there bfloat16 would end the process.

    That is oneDNN issue 5689. To be called before torch computes anything; a limit that the environment sets stays.
    """
    if "ONEDNN_MAX_CPU_ISA" not in os.environ and _announces_amx() and not _tiles():
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_FP16"


def _announces_amx() -> bool:
    try:
        with open("/proc/cpuinfo") as lines:
            return any("amx_tile" in line for line in lines if line.startswith("flags"))
    except OSError:  # not Linux
        return False


def _tiles() -> bool:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # where no program may write code for itself, the processor's word is taken
        return True
    page.write(TILES)
    code = ctypes.c_char.from_buffer(page)
    return bool(ctypes.CFUNCTYPE(ctypes.c_uint32)(ctypes.addressof(code))())
