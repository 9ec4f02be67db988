"""The networks of the binary, ternary, low-bit and spiking literature, exported from their authors' code: what bitc makes of each."""
