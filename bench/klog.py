# SPDX-License-Identifier: GPL-2.0
"""Read a kernel log for what must never be in it."""
import re

BAD = re.compile(
    r"WARNING:|\bBUG:|\bBUG at |\bOops\b|Kernel panic|Call trace:|Call Trace:"
    r"|Unable to handle kernel|general protection fault|Internal error:"
    r"|UBSAN:|KASAN:|KCSAN:|KFENCE:|refcount_t: |list_(add|del) corruption"
    r"|possible circular locking|possible recursive locking"
    r"|inconsistent lock state|suspicious RCU usage|bad unlock balance"
    r"|sleeping function called|scheduling while atomic"
    r"|INFO: task .* blocked|soft lockup|hard LOCKUP|rcu.*stall"
    r"|kmemleak: \d+ new|\bleaked\b|suspected memory leak"
    r"|leak detector disabled|Memory pool empty|lockdep is turned off"
    r"|invoked oom-killer"
    r"|driver left PASIDs attached"
    r"|unexpected event|event 0x[0-9a-f]+ received|arm-smmu-v3.*timeout"
    r"|unexpected global error|GERROR|EVTQ overflow|PRIQ overflow"
    r"|DMAR: .*(fault|Fault|error|Error|timeout|VT-d detected|refused)"
    r"|DMAR: .*(queue overflow|no SVA|no page request)"
    r"|still busy|CMDQ error|no response to page request|non-static key"
    r"|irq \d+: nobody cared|\bsegfault\b|unhandled signal",
)
# KUnit prints into the same log; names of its cases say anything.
NOISE = re.compile(r"^\s*(\[[ 0-9.]+\] )?\s*(ok |not ok |# )")
# A backtrace is judged by the line above it that says what it is of.
TRACE = re.compile(r"Call [Tt]race:")
HEAD = re.compile(r"WARNING:|\bBUG:|\bOops\b|Internal error:|Kernel panic"
                  r"|invoked oom-killer|rcu: INFO:|soft lockup")
END = re.compile(r"---\[ end trace")
ABOVE = 40                  # lines


def has_head(above):
    """Does the end of these lines say what a backtrace below them is of?"""
    for line in reversed(above):
        # What is above another backtrace was said of that one.
        if END.search(line) or TRACE.search(line):
            return False
        if HEAD.search(line) and not NOISE.match(line):
            return True
    return False


def bad_lines(text, expected=()):
    """The lines of a kernel log that make its run a failure."""
    lines = text.splitlines()
    return [line.strip() for i, line in enumerate(lines)
            if BAD.search(line) and not NOISE.match(line)
            and not any(re.search(x, line) for x in expected)
            and not (TRACE.search(line) and
                     has_head(lines[max(0, i - ABOVE):i]))]
