# SPDX-License-Identifier: GPL-2.0-or-later
#
# virt with an accelerator behind SMMUv3: see hw/misc/svadev.c
CONFIG_ARM_VIRT=y
CONFIG_SVADEV=y
