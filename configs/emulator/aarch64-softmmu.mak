# Devices of the arm64 machine.
CONFIG_ARM_VIRT=y
CONFIG_SVADEV=y
