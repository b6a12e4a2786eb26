"""Program `python without_locks.py SCRIPT ARGUMENTS`: runs a script whose locks fail, as on NFS without a lock daemon.

A seccomp filter lets flock fail with ENOLCK: neither a compiler nor such a file system is needed.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys

FLOCK = {"x86_64": 73, "aarch64": 32}[platform.machine()]
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.ENOLCK


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def refuse_locks() -> None:
    """Let every flock of this process fail with ENOLCK."""
    steps = ((LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, FLOCK), (RETURN, 0, 0, FAIL), (RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    assert libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    program = Program(len(steps), code)
    assert libc.prctl(SECCOMP, FILTER, ctypes.addressof(program), 0, 0) == 0, errno.errorcode[ctypes.get_errno()]
    try:
        fcntl.flock(sys.stdin, fcntl.LOCK_EX)
    except OSError as error:
        assert error.errno == errno.ENOLCK
    else:
        raise AssertionError("flock works")


if __name__ == "__main__":
    refuse_locks()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
