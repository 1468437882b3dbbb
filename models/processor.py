"""Workaround for virtual machines that announce AMX but have no AMX tiles."""

import ctypes
import mmap
import os

# push rbx; mov eax, 1DH; xor ecx, ecx; cpuid; pop rbx; ret: returns how many shapes of AMX tiles there are
COUNT_TILES = bytes.fromhex("53b81d00000031c90fa25bc3")


def avoid_broken_amx() -> None:
    """Keep torch from using AMX if the machine announces it without tiles: bfloat16 would end the process.

    See oneDNN issue 5689. Call this before torch computes anything. A limit in the environment is kept.
    """
    if "ONEDNN_MAX_CPU_ISA" not in os.environ and _announces_amx() and not _has_tiles():
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_FP16"


def _announces_amx() -> bool:
    try:
        with open("/proc/cpuinfo") as lines:
            return any("amx_tile" in line for line in lines if line.startswith("flags"))
    except OSError:  # not Linux
        return False


def _has_tiles() -> bool:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # this system forbids programs to write code: believe the processor
        return True
    page.write(COUNT_TILES)
    code = ctypes.c_char.from_buffer(page)
    return bool(ctypes.CFUNCTYPE(ctypes.c_uint32)(ctypes.addressof(code))())
