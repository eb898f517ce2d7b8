# SPDX-License-Identifier: GPL-2.0
"""Tables of what a suite saw work and saw refused.

A KUnit case that tries many combinations prints a line for each:

    step: what of; operation; from or below; what; result

A file in Documentation/ has the table of them for one machine. The suite fails
if the run and the file differ. WRITE_TABLES=1 writes the file instead.
"""
import difflib
import os
import re

STEP = re.compile(r"\bstep: (.+); (.+); (.+); (.+); (\S+)\s*$")
TITLES = {
    "PASID": ("Domains on a PASID, for each RID domain",
              ["RID domain", "operation"]),
    "RID alone": ("From one RID domain to another, with nothing attached to "
                  "a PASID", ["from / to"]),
    "RID with PASIDs": ("From one RID domain to another, below a PASID in use",
                        ["from / to"]),
}


def steps(lines):
    """{what of: {row: {column: result}}}, in the order seen."""
    found = {}
    for line in lines:
        match = STEP.search(line)
        if not match:
            continue
        of, operation, below, what, result = match.groups()
        # From one RID domain to another there is one operation that leads.
        key = (below, operation) if of == "PASID" else (below,)
        row = found.setdefault(of, {}).setdefault(key, {})
        if row.setdefault(what, result) != result:
            row[what] += f" or {result}"
    return found


def table(head, rows):
    """A simple table of reStructuredText."""
    width = [max(len(row[i]) for row in [head, *rows])
             for i in range(len(head))]
    rule = "  ".join("=" * w for w in width)
    text = ["  ".join(cell.ljust(w) for cell, w in zip(row, width)).rstrip()
            for row in [head, *rows]]
    return [rule, text[0], rule, *text[1:], rule]


def text(lines):
    """The tables of a run."""
    out = [".. SPDX-License-Identifier: GPL-2.0",
           ".. Written by a test, see bench/steps.py. Do not edit.", ""]
    for of, rows in steps(lines).items():
        title, head = TITLES[of]
        columns = list(dict.fromkeys([x for x, *_ in rows] +
                                     [x for row in rows.values() for x in row]))
        out += [f"{title}:", "",
                *table(head + columns,
                       [[*key, *(row.get(x, "\\-") for x in columns)]
                        for key, row in rows.items()]), ""]
    return "\n".join(out).rstrip("\n") + "\n"


def compare(lines, path):
    """None if the file says what was seen, or where they differ."""
    seen = text(lines)
    if os.environ.get("WRITE_TABLES"):
        path.write_text(seen)
        return None
    said = path.read_text() if path.exists() else ""
    diff = difflib.unified_diff(said.splitlines(), seen.splitlines(),
                                "documented", "seen", lineterm="")
    return "\n".join(diff) or None
