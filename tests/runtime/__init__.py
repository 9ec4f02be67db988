"""Every C micro-kernel of ``runtime/``, on every instruction set, against a plain NumPy meaning."""
