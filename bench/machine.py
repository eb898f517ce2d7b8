# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel on one of the machines in bench/machines."""
import configparser
import dataclasses
import os
import pathlib
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading

BENCH = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ["BUILD"])
# Which kernel, see scripts/lib.sh
VARIANT = os.environ.get("VARIANT", "")
SUFFIX = f"-{VARIANT}" if VARIANT else ""
COMMON = "-nodefaults -display none -no-reboot -monitor none"
# All that the emulator may have to say: VT-d has room for a few faults. The rest
# is a bug of its own: it warns, for instance, of an access that it throws away.
MAY_SAY = re.compile(
    r"\S+: (New fault is not recorded due to "
    r"(compression of faults|Primary Fault Overflow)"
    r"|Next Fault Recording Reg is used, .*"
    r"|There are pending faults already, .*)")
SECTIONS = configparser.ConfigParser(interpolation=None)
SECTIONS.read(os.environ.get("MACHINES_FILE", BENCH / "machines"))
for _section in SECTIONS.values():
    _like = _section.get("like")
    if _like is not None and (_like not in SECTIONS or
                              "like" in SECTIONS[_like]):
        sys.exit(f"bench/machines: [{_section.name}]: like = {_like}: no "
                 "section, or like another itself")
    if _like:
        for _key, _value in {"arch": _like, **SECTIONS[_like]}.items():
            _section.setdefault(_key, _value)
ARCHS = ("arm64", "x86_64")
APPEND = "panic=-1 loglevel=7 printk.time=1 printk.devkmsg=on"


def arch_of(name):
    """The architecture of a machine: that of its section, or its name."""
    arch = SECTIONS[name].get("arch", name)
    if arch not in ARCHS:
        sys.exit(f"bench/machines: [{name}]: arch = {arch}: not one of "
                 f"{', '.join(ARCHS)}")
    return arch


def like(name):
    """The machines that are like another, and can run all that it can."""
    return [x for x in SECTIONS.sections() if
            SECTIONS[x].get("like") == name and
            SECTIONS[x].get("suites") != "named"]


def seed_of(text):
    """What SEED asks for: a number, or 'random' to draw one."""
    if text == "random":
        return secrets.randbelow(2**32)
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) >= 2**64:
        sys.exit(f"SEED={text}: neither a number, 0 to {2**64 - 1}, nor "
                 "'random'")
    return int(text)


def set_seed(seed):
    """Have the emulator choose by this seed, where hardware may choose."""
    os.environ["SEED"] = str(seed)


def seed():
    return os.environ["SEED"]


# Programs that are started from here have the same one.
set_seed(seed_of(os.environ.get("SEED") or "1"))


@dataclasses.dataclass
class Run:
    """What a boot left behind."""
    lines: list             # from the second serial port
    console: str            # from the first
    stderr: str             # QEMU's own
    status: object          # QEMU's exit status, None if it was killed

    def trouble(self, seconds):
        """What is wrong with the emulator itself, or None."""
        if self.status is None:
            return f"still running after {seconds} s: killed"
        if self.status < 0:
            name = signal.Signals(-self.status).name
            return f"the emulator died of {name}\n{self.stderr}"
        if self.status:
            return f"the emulator failed\n{self.stderr}"
        return None

    def complaints(self):
        """What an emulator that is not in trouble should not have said."""
        return [x for x in self.stderr.splitlines() if not MAY_SAY.fullmatch(x)]


class Machine:
    """One section of bench/machines."""

    def __init__(self, name):
        if name not in SECTIONS:
            sys.exit(f"there is no machine '{name}' in bench/machines")
        self.arch = arch_of(name)
        self.section = SECTIONS[name]

    def kernel(self):
        return BUILD / f"kernel-{self.arch}{SUFFIX}" / self.section["kernel"]

    def initrd(self):
        return BUILD / f"guest-{self.arch}/initramfs.gz"

    def initrd_with_kernel(self, where):
        """Made in a directory: the guest finds itself again in its /crash."""
        crash = where / "crash"
        shutil.rmtree(crash, ignore_errors=True)
        crash.mkdir()
        shutil.copy(self.kernel(), crash / "kernel")
        shutil.copy(self.initrd(), crash)
        more = subprocess.run(
            ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=where,
            input=b"crash\ncrash/kernel\ncrash/initramfs.gz\n", check=True,
            stdout=subprocess.PIPE).stdout
        shutil.rmtree(crash)
        path = where / "initramfs-with-kernel"
        path.write_bytes(self.initrd().read_bytes() + b"\0" *
                         (-self.initrd().stat().st_size % 4) + more)
        return path

    def seeds(self):
        """QEMU's arguments that seed the models with choices of their own."""
        return [x for model in self.section["seeded"].split()
                for x in ("-global", f"{model}.x-seed={seed()}")]

    def command(self, append, initrd=None):
        section = self.section
        args = [BUILD / "qemu-build" / section["qemu"],
                *shlex.split(COMMON), *shlex.split(section["args"]),
                *self.seeds(),
                "-kernel", self.kernel(), "-initrd", initrd or self.initrd(),
                "-append", " ".join([f"console={section['console']}", APPEND,
                                     section["append"], *append])]
        return [str(x) for x in args]

    def shell(self):
        """A guest on the terminal; QEMU's exit status."""
        command = self.command(["kunit.enable=0"])
        return subprocess.call(command + ["-serial", "mon:stdio"])

    def boot(self, where, append, seconds, live=None):
        """Run until the guest powers off; its logs go to the directory.

        Who wants memory for another kernel gets that kernel, too."""
        where.mkdir(parents=True, exist_ok=True)
        console = where / "console.log"
        console.write_bytes(b"")
        crash = any(x.startswith("crashkernel=") for x in append)
        command = self.command(
            append, self.initrd_with_kernel(where) if crash else None) + [
            "-serial", f"file:{console}",
            "-chardev", "stdio,id=tap,signal=off", "-serial", "chardev:tap"]
        (where / "command").write_text(shlex.join(command) + "\n")
        lines = []
        with open(where / "qemu.log", "w+b") as stderr, \
             open(where / "tap.log", "wb") as log, \
             subprocess.Popen(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=stderr) as qemu:
            late = threading.Event()

            def kill():
                late.set()
                qemu.kill()

            timer = threading.Timer(seconds, kill)
            timer.start()
            try:
                for raw in qemu.stdout:
                    log.write(raw)
                    log.flush()
                    line = raw.decode(errors="replace").rstrip("\r\n")
                    lines.append(line)
                    if live:
                        live(line)
                status = qemu.wait()
            finally:
                timer.cancel()
                qemu.kill()
            stderr.seek(0)
            errors = stderr.read().decode(errors="replace")
        return Run(lines, console.read_text(errors="replace"), errors,
                   None if late.is_set() else status)
