"""Confines this process to given files: no network, no other programs, no access to the server's process.

1. Confinement is final: `no_new_privs` is set first, and neither Landlock nor seccomp can be undone.
2. A mechanism that the kernel lacks is skipped and reported. If the kernel has it and refuses, that is an error, so a
   process that should be confined never runs unconfined.
3. The process must still have a single thread, because Landlock confines the calling thread and those it starts.

The system calls of Linux are made by `ctypes`. Packages on PyPI are not used: `landlock` has only pre-releases, and
`pyseccomp` needs libseccomp, which container images often lack. These calls never change once a kernel has them. See
landlock(7), seccomp(2) and prctl(2).
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

PR_SET_NO_NEW_PRIVS: Final = 38

# landlock(7). The numbers of these three calls are the same on every architecture.
LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_ADD_RULE: Final = 445
LANDLOCK_RESTRICT_SELF: Final = 446
LANDLOCK_CREATE_RULESET_VERSION: Final = 1
LANDLOCK_RULE_PATH_BENEATH: Final = 1
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REMOVE_FILE: Final = 1 << 5
MAKE_REG: Final = 1 << 8
TRUNCATE: Final = 1 << 14
OF_FILES: Final = WRITE_FILE | READ_FILE | TRUNCATE
"""The rights that a rule for a single file may have."""
# The rights for files that each version of Landlock knows; a ruleset must not have others.
FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
TCP: Final = 0b11  # bind and connect, from version 4
SCOPES: Final = 0b11  # abstract Unix sockets and signals, from version 6

# seccomp(2) and the classic BPF it takes.
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1
ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000  # with an errno in the low half
KILL_PROCESS: Final = 0x80000000
LOAD: Final = 0x20
EQUAL: Final = 0x15
AT_LEAST: Final = 0x35
ANY_BIT: Final = 0x45
RETURN: Final = 0x06
NUMBER_AT: Final = 0
ARCHITECTURE_AT: Final = 4
FIRST_ARGUMENT_AT: Final = 16
CLONE_THREAD: Final = 0x10000
X32: Final = 0x40000000  # a second table of system calls on x86-64

# Calls that are refused, because no operation on a table needs them: sockets, other programs and processes, and parts
# of the kernel with a history of holes. `socketpair` is harmless, but `sendmsg` on its socket could name an address.
# For each architecture: the call's number, or None if there is no such call.
_CALLS: Final[dict[str, tuple[int | None, int | None]]] = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "recvfrom": (45, 207), "recvmsg": (47, 212), "recvmmsg": (299, 243),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "tkill": (200, 130),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "syslog": (103, 116), "quotactl": (179, 60), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "personality": (135, 92),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
# Calls that are allowed only if their first argument is this process.
_OF_PROCESSES: Final[dict[str, tuple[int, int]]] = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "arm64": (1, 0xC00000B7)}
_SECCOMP: Final = (317, 277)


class Confined(NamedTuple):
    """The kinds of confinement in force for a process."""

    no_new_privileges: bool = False
    files: bool = False
    calls: bool = False


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def confine(read: Iterable[str], write: Iterable[str]) -> Confined:
    """Confine this process for good: it may read only `read`, and make files only in the folders of `write`.

    Paths that do not exist are skipped. Return the kinds of confinement in force.

    Raises:
        OSError: The kernel has one of these mechanisms and refused it.
        RuntimeError: The process has several threads.
    """
    if sys.platform != "linux":
        return Confined()
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("a process must be confined before it has threads")
    libc = ctypes.CDLL(None, use_errno=True)
    _call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    files = _confine_files(libc, read, write)
    return Confined(True, files, _confine_calls(libc))


def _call(function: "ctypes._NamedFuncPointer", *arguments: object) -> int:
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = function(*words)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _confine_files(libc: ctypes.CDLL, read: Iterable[str], write: Iterable[str]) -> bool:
    try:
        version = _call(libc.syscall, LANDLOCK_CREATE_RULESET, 0, 0, LANDLOCK_CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return False  # not in this kernel, or disabled at boot
        raise
    rights = FILE_RIGHTS[max(first for first in FILE_RIGHTS if first <= version)]
    rules = _Ruleset(rights, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(libc.syscall, LANDLOCK_CREATE_RULESET, ctypes.byref(rules), size, 0)
    try:
        for path in read:
            _allow(libc, ruleset, path, rights & (READ_FILE | READ_DIR))
        for path in write:
            writing = READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE
            _allow(libc, ruleset, path, rights & writing)
        _call(libc.syscall, LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= OF_FILES
        rule = _Beneath(rights, descriptor)
        _call(libc.syscall, LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def _confine_calls(libc: ctypes.CDLL) -> bool:
    if platform.machine() not in _ARCHITECTURES or sys.maxsize < 2**32:
        return False
    column, architecture = _ARCHITECTURES[platform.machine()]
    steps = _filter(column, architecture, os.getpid())
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    try:
        _call(
            libc.syscall,
            _SECCOMP[column],
            SECCOMP_SET_MODE_FILTER,
            SECCOMP_FILTER_FLAG_TSYNC,
            ctypes.byref(program),
        )
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            return False  # the kernel was built without seccomp filters
        raise
    return True


def _filter(column: int, architecture: int, pid: int) -> Sequence[tuple[int, int, int, int]]:
    """Return the filter: refused calls fail with EPERM, all others pass.

    It is a deny list, because the calls that DuckDB needs differ from release to release.
    """
    refuse = (RETURN, 0, 0, REFUSE | errno.EPERM)
    steps = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if column == 0:
        steps += [(AT_LEAST, 0, 1, X32), refuse]
    for numbers in _CALLS.values():
        if (number := numbers[column]) is not None:
            steps += [(EQUAL, 0, 1, number), refuse]
    # ENOSYS for clone3 makes glibc use clone, whose flags a filter can read.
    steps += [(EQUAL, 0, 1, _CLONE3[column]), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    allow = (RETURN, 0, 0, ALLOW)
    steps += [(EQUAL, 0, 4, _CLONE[column]), (LOAD, 0, 0, FIRST_ARGUMENT_AT), (ANY_BIT, 0, 1, CLONE_THREAD), allow]
    steps += [refuse]
    for numbers_of in _OF_PROCESSES.values():
        steps += [(EQUAL, 0, 5, numbers_of[column]), (LOAD, 0, 0, FIRST_ARGUMENT_AT), (EQUAL, 1, 0, pid)]
        steps += [(EQUAL, 0, 1, 0), allow, refuse]
    return [*steps, allow]
