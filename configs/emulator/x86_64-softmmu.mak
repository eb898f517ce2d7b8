# Devices of the x86_64 machine.
CONFIG_Q35=y
CONFIG_VTD=y
CONFIG_SVADEV=y
