# SPDX-License-Identifier: GPL-2.0
"""Run functions as TAP cases."""
import sys
import traceback


def run(tests):
    """Each function is a case, named by its docstring; an exception fails."""
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} {test.__doc__}", flush=True)
        except Exception:  # whatever it is, the case has failed
            failed += 1
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print(f"not ok {number} {test.__doc__}", flush=True)
    sys.exit(1 if failed else 0)
