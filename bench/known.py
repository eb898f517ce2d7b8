# SPDX-License-Identifier: GPL-2.0
"""Read bench/known-faults, and judge the cases of a suite by it."""
import dataclasses
import re
import sys

from tap import Case

LINE = re.compile(r"(\S+)\s+(\S+)\s+(\((?:kernel|emulator) log\)|\S+)\s+(\S+)"
                  r"((?:\s+~\S+)+)\s+(\S.*)")
# Their details are a list of independent complaints, a line each.
BY_LINE = ("(kernel.log)", "(emulator.log)", "(audit)")
# A guest that never ends. So its output has no end either.
HANG = "(emulator)"


def spelled(name):
    """The name of a case as a word."""
    return re.sub(r"\s", ".", name)


@dataclasses.dataclass
class Fault:
    """A line of bench/known-faults, on one machine."""
    suite: str
    machine: str
    case: str               # as spelled() has it
    finding: str
    patterns: tuple
    maybe: tuple            # patterns of what a race adds in some runs
    what: str               # a user sees of it

    def matches(self, text):
        return any(re.search(x, text) for x in self.patterns + self.maybe)

    def unseen(self, texts):
        """The patterns that match none of these."""
        return [x for x in self.patterns
                if not any(re.search(x, y) for y in texts)]

    def failure(self, detail, name=None):
        """The case, if this line does not describe what it did."""
        return Case(name or self.case, "fail", detail, self.finding)

    def known(self, detail, name):
        """The case, if it does."""
        return Case(name, "known", f"{self.what}\n{detail}", self.finding)


def parse(line):
    """The faults of a line, or a ValueError that says what is wrong with it."""
    found = LINE.fullmatch(line.strip())
    if not found:
        raise ValueError("not 'suite machine case finding ~regex what a user "
                         "sees'")
    suite, machines, case, finding, listed, what = found.groups()
    listed = [x[1:] for x in listed.split()]
    patterns = tuple(x for x in listed if x[0] != "~")
    maybe = tuple(x[1:] for x in listed if x[0] == "~")
    if not patterns or "" in maybe:
        raise ValueError("nothing that each run shows, or an empty ~~")
    for pattern in patterns + maybe:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"~{pattern}: {error}") from error
    return [Fault(suite, x, spelled(case), finding, patterns, maybe, what)
            for x in machines.split(",")]


def check(fault, faults, runs):
    """A fault must be of a suite that there is, and not be listed twice."""
    if fault.suite not in {x for x, _ in runs}:
        raise ValueError(f"there is no suite '{fault.suite}'")
    if (fault.suite, fault.machine) not in runs:
        raise ValueError(f"suite '{fault.suite}' has no machine "
                         f"'{fault.machine}'")
    for other in faults:
        if (other.suite, other.machine, other.case) == \
           (fault.suite, fault.machine, fault.case) and \
           (fault.case not in BY_LINE or other.patterns == fault.patterns):
            raise ValueError("a second line for this case")


def read(path, runs):
    """All faults of a file; runs are the pairs (suite, machine) there are."""
    faults = []
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            for fault in parse(line):
                check(fault, faults, runs)
                faults.append(fault)
        except ValueError as error:
            sys.exit(f"{path}:{number}: {error}")
    return faults


def by_line(case, faults):
    """Attribute the lines of a detail; what is left is still a failure."""
    lines = case.detail.splitlines()
    rest = [x for x in lines if not any(y.matches(x) for y in faults)]
    cases = [Case(case.name, "fail", "\n".join(rest))] if rest else []
    for fault in faults:
        unseen = fault.unseen(lines)
        if unseen:
            cases.append(absent(fault, unseen))
        else:
            mine = [x for x in lines if fault.matches(x)]
            cases.append(fault.known("\n".join(mine), case.name))
    return cases


def absent(fault, unseen=None):
    return fault.failure(
        (f"no line matches ~{(unseen or fault.patterns)[0]}"
         if fault.case in BY_LINE else "did not run") +
        ": take its line out of bench/known-faults")


def one(case, fault):
    if case.verdict == "pass":
        return fault.failure("passes: take its line out of bench/known-faults",
                             case.name)
    if case.verdict == "skip":
        return fault.failure(f"is skipped, and is in bench/known-faults\n"
                             f"{case.detail}", case.name)
    others = [x for x in case.complaints if not fault.matches(x)]
    unseen = fault.unseen(case.complaints)
    if not others and not unseen:
        return fault.known(case.detail, case.name)
    why = ["fails otherwise than bench/known-faults says"]
    why += [f"no complaint matches ~{x}" for x in unseen]
    why += ["not listed:", *others] if others else [case.detail]
    return fault.failure("\n".join(why), case.name)


def judge(faults, cases, narrowed):
    """The cases of a suite, with known faults counted apart.

    A run that was narrowed to some cases need not show all faults."""
    judged, seen = [], set()
    hangs = any(x.case == HANG and x.matches(y.detail)
                for x in faults for y in cases if spelled(y.name) == HANG)
    for case in cases:
        name = spelled(case.name)
        if hangs and name.endswith("(output)"):
            continue
        mine = [x for x in faults if x.case == name]
        seen.add(name)
        if not mine:
            judged.append(case)
        elif name in BY_LINE:
            found = by_line(case, mine)
            judged += [x for x in found if not (
                narrowed and x.verdict == "fail" and x.finding)]
        else:
            judged.append(one(case, mine[0]))
    if not narrowed:
        judged += [absent(x) for x in faults if x.case not in seen]
    return judged
