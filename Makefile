# SPDX-License-Identifier: GPL-2.0
# Each target does its own set-up; scripts/do holds the steps behind each.
# ARCH=arm64 or ARCH=x86_64 narrows those targets to one machine that help names.

TARGETS := demo check seeds mutants shell tree refresh series lint compile-matrix clean distclean help
.PHONY: $(TARGETS)
.DEFAULT_GOAL := help

$(TARGETS):
	@scripts/do $@ $(ARCH)
