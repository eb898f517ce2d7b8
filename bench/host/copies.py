# SPDX-License-Identifier: GPL-2.0
"""Copies of the series, to be tried out and thrown away."""
import os
import pathlib
import re
import shutil

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build"))


def copy_series(to, name="linux"):
    """Copy patches and whole files of a series into the directory."""
    home = pathlib.Path("emulator" if name == "qemu" else ".")
    shutil.copytree(TOP / home / "patches", to / home / "patches")
    # The emulator's register header is made from the kernel's.
    paths = {pathlib.Path("include/uapi/misc/uacce/svadev.h")}
    for patch in (TOP / home / "patches").glob("[0-9]*.patch"):
        paths |= {home / x for x in
                  re.findall(r"^Whole-file: (.*)$", patch.read_text(), re.M)}
    for path in paths:
        if (TOP / path).exists():
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / path, to / path)
