# SPDX-License-Identifier: GPL-2.0-or-later
#
# q35 with an accelerator behind VT-d: see hw/misc/svadev.c
CONFIG_Q35=y
CONFIG_VTD=y
CONFIG_SVADEV=y
