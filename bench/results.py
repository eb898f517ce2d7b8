# SPDX-License-Identifier: GPL-2.0
"""Results that outlive a run, for runs that carry on where they were."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tap import Case

TOP = pathlib.Path(__file__).resolve().parent.parent
LINES = 20                  # of what a failure said
# They have no effect on what a suite does on a machine, beyond the trees that are
# made of them.
NO_EFFECT = [f":(exclude,top,glob){x}" for x in (
    "*.md", "patches/**", "emulator/patches/**", "bench/mutants/*.patch",
    "bench/seeds", "bench/host/runner", "bench/host/mutants")]


def git(*args, **env):
    done = subprocess.run(["git", *args], capture_output=True, text=True,
                          check=False, env={**os.environ, **env})
    if done.returncode:
        sys.exit(f"git {' '.join(map(str, args))}: {done.stderr.strip()}")
    return done.stdout.strip()


def tree(build):
    """A digest of this clone, as it is, and of the trees that are built."""
    if "BENCH_TREE" in os.environ:      # tests of this
        return os.environ["BENCH_TREE"]
    with tempfile.TemporaryDirectory() as scratch:
        # What is not committed counts: an index of our own sees it.
        index = pathlib.Path(scratch) / "index"
        shutil.copy(git("-C", TOP, "rev-parse", "--path-format=absolute",
                        "--git-path", "index"), index)
        git("-C", TOP, "add", "-A", GIT_INDEX_FILE=str(index))
        text = git("-C", TOP, "ls-files", "-s", "--", ":/", *NO_EFFECT,
                   GIT_INDEX_FILE=str(index))
    for name in ("linux", "qemu"):
        text += git("-C", build / name, "rev-parse", "HEAD^{tree}")
    return digest(text)


def digest(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def write(path, text):
    """All of it or nothing, whenever the run is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def write_cases(path, cases):
    """A line each: verdict, name, and why."""
    lines = []
    for case in cases:
        why = " ".join(" ".join(case.detail.splitlines()[:LINES]).split())
        lines.append(f"{case.verdict}\t{case.name}\t" +
                     (f"{case.finding}: " if case.finding else "") + why)
    write(path, "".join(f"{x}\n" for x in lines))


def read_cases(path):
    """The cases that write_cases() wrote, or None."""
    if not path.exists():
        return None
    return [Case(name, verdict, detail) for verdict, name, detail in
            (x.split("\t", 2) for x in path.read_text().splitlines())]
