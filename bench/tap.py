# SPDX-License-Identifier: GPL-2.0
"""Read TAP (kselftest, glib, our scripts) and KUnit's nested KTAP."""
import dataclasses
import re

RESULT = re.compile(
    r"^(?P<indent> *)(?P<not>not )?ok\b *(?P<number>\d+)? *(?:- )?"
    r"(?P<name>.*?)(?: *# *(?P<word>SKIP|TODO)\b[: ]*(?P<reason>.*))?$",
    re.IGNORECASE)
PLAN = re.compile(r"^( *)1\.\.(\d+)(?: *# *SKIP\b *(.*))?$", re.IGNORECASE)
STAMP = re.compile(r"^(?:\[[ 0-9.]+\](?: |$))?")
SUBTEST = re.compile(r"^( *)# Subtest: (.*)$")
RUN = re.compile(r"^# +RUN +(\S+)")
STEP = 4                    # columns of one level of nesting
# KUnit prints an expectation that failed as one message, of several lines.
KUNIT = re.compile(r"^ *# \S+: (?:(?:EXPECTATION|ASSERTION) FAILED at |"
                   r"try timed out|try faulted|internal error)")
# kselftest_harness.h, where a message may follow an expectation, and CHECK() of
# sva_case.h, for processes that cannot use it. Other lines are remarks, which are
# shown, and explain nothing. An assertion has been printed before it ends the case.
HARNESS = re.compile(r"^# (\S+?:\d+:\w+:)(Expected )?")
CHILD = re.compile(r"^# child, line \d+: ")
TERMINATED = re.compile(r"^# \S+: (?:Test terminated (?!by assertion)"
                        r"|unknown status)", re.IGNORECASE)
FRAME = re.compile(r"^# +(?:RUN|OK|FAIL) |^# Starting "
                   r"|^# \S+: Test (?:failed|terminated) ")
SAID = 20                   # lines of a failure that complains of nothing


@dataclasses.dataclass
class Case:
    """The result of one test case."""
    name: str
    verdict: str            # "pass", "fail", "skip" or "known"
    detail: str = ""        # why it was skipped, or what was said before
    finding: str = ""       # of its line in bench/known-faults
    blocks: tuple = ()      # the complaints of @detail, if not its lines

    @property
    def complaints(self):
        """What it failed for; each has to be explained."""
        return self.blocks or [x for x in self.detail.splitlines() if x.strip()]


class Complaints:
    """Divide the output of a case into failures of single expectations."""

    def __init__(self):
        self.blocks = []
        self.said = []          # these, and the remarks between them
        self.stamp = None       # of the message that the last one is part of
        self.open = False       # more lines may belong to it
        self.bare = False       # an expectation without a message, so far

    def feed(self, line, stamp):
        kunit, harness = KUNIT.match(line), HARNESS.match(line)
        if kunit or CHILD.match(line) or TERMINATED.match(line):
            self.begin(line, stamp)
        elif harness and (harness[2] or not self.bare):
            self.begin(line, stamp)
            self.bare = bool(harness[2])
        elif harness or (self.open and stamp == self.stamp and
                         (stamp or not line.startswith("#"))):
            self.blocks[-1] += f"\n{line}"
            self.said.append(line)
            self.bare = False
        else:
            self.open = self.bare = False
            if line.startswith("# ") and not stamp and not FRAME.match(line):
                self.said.append(line)

    def begin(self, line, stamp):
        self.blocks.append(line)
        self.said.append(line)
        self.stamp = stamp
        self.open, self.bare = True, False


class Level:
    """Results at one indentation, up to the result that closes them."""

    def __init__(self, name):
        self.name = name
        self.plan = None
        self.count = 0
        self.failed = False


class Parser:
    """Feed it lines; finish() gives the cases, broken framing included."""

    def __init__(self):
        self.cases = []
        self.levels = [Level("")]
        self.said = []
        self.complaints = Complaints()
        self.title = {}
        self.current = None     # the case a harness says it is running

    def problem(self, text):
        self.cases.append(Case(self.prefix() + "(output)", "fail", text))

    def prefix(self):
        return "".join(x.name + "." for x in self.levels[1:])

    def feed(self, line):
        line = line.rstrip("\r\n")
        stamp = STAMP.match(line)[0]
        line = line[len(stamp):]
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            self.on_plan(plan)
        elif result:
            self.on_result(result)
        elif line.startswith("Bail out!"):
            self.problem(line)
        else:
            title, run = SUBTEST.match(line), RUN.match(line)
            if title:
                self.open(len(title[1]), title[2])
            if run:
                self.current = run[1]
            self.said.append(line)
            self.complaints.feed(line, stamp.strip())

    def open(self, indent, name):
        depth = indent // STEP
        if depth == len(self.levels):
            self.levels.append(Level(name))
        elif depth < len(self.levels) and depth > 0:
            self.levels[depth].name = name

    def on_plan(self, plan):
        depth = len(plan[1]) // STEP
        if depth >= len(self.levels):
            self.open(len(plan[1]), "?")
        level = self.levels[min(depth, len(self.levels) - 1)]
        if level.plan is not None:
            self.problem(f"a second plan: {plan[0].strip()}")
        level.plan = int(plan[2])
        if level.plan == 0 and plan[3]:
            self.cases.append(Case(self.prefix() + "(all)", "skip", plan[3]))

    def on_result(self, result):
        depth = len(result["indent"]) // STEP
        if depth >= len(self.levels):
            self.problem(f"a result nested in nothing: {result[0].strip()}")
            return
        passed = not result["not"]
        closing = None
        while len(self.levels) > depth + 1:
            closing = self.close()
        level = self.levels[depth]
        level.count += 1
        number = result["number"]
        if number and int(number) != level.count:
            self.problem(f"result {number} where {level.count} was due: "
                         "some are missing")
            level.count = int(number)
        name = result["name"].strip() or self.current or str(level.count)
        if closing:
            # The sum of the results below, not a case of its own.
            if not passed and not closing.failed:
                self.problem(f"{name} failed outside its cases")
        else:
            self.case(name, passed, result)
        level.failed |= not passed
        self.said = []
        self.complaints = Complaints()
        self.current = None

    def case(self, name, passed, result):
        reason = (result["reason"] or "").strip()
        word = (result["word"] or "").upper()
        name = self.prefix() + name
        blocks = tuple(self.complaints.blocks)
        if not passed:
            said = self.complaints.said if blocks else self.said[-SAID:]
            self.cases.append(Case(name, "fail", "\n".join(said),
                                   blocks=blocks))
        elif word == "SKIP" and reason:
            self.cases.append(Case(name, "skip", reason))
        elif word:
            self.cases.append(Case(name, "fail",
                                   f"{word} without a reason is no result"))
        else:
            self.cases.append(Case(name, "pass"))

    def close(self):
        """End the innermost level and check it against its plan."""
        level = self.levels[-1]
        # KUnit gives no plan for the parameters of a case.
        if level.plan is None and len(self.levels) <= 2:
            self.problem("no plan")
        elif level.plan is not None and level.plan != level.count:
            self.problem(f"planned {level.plan}, saw {level.count}")
        return self.levels.pop()

    def finish(self):
        if len(self.levels) > 1:
            self.problem("the output ends inside a subtest")
        while self.levels:
            self.close()
        self.levels = [Level("")]
        if not self.cases:
            self.problem("no test case at all")
        return self.cases


def parse(lines):
    """All cases in these lines."""
    parser = Parser()
    for line in lines:
        parser.feed(line)
    return parser.finish()
