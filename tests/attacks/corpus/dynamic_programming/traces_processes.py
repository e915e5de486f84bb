"""Tries: trace processes and read and write their memory: its parent, the first process, itself.

Deserves: full
Base: solution
Control: works
"""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


source, target = ctypes.create_string_buffer(b"12345678"), ctypes.create_string_buffer(8)
far, near = Piece(ctypes.addressof(source), 8), Piece(ctypes.addressof(target), 8)
read = [
    libc.process_vm_readv(process, ctypes.byref(near), 1, ctypes.byref(far), 1, 0) > 0 for process in (os.getpid(), os.getppid())
]
traced = libc.ptrace(16, os.getppid(), None, None) == 0  # PTRACE_ATTACH
if traced:
    libc.ptrace(17, os.getppid(), None, None)
if any(read) or traced:
    raise SystemExit("the attack worked")
