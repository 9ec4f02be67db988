"""Write `digits_test.npz`: the 500 held-out images every `digits_*` network was measured on.

x is f32[500,1,8,8] in the networks' input convention (pixel/8 - 1), y the classes i64[500].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import digits_dataset

if __name__ == "__main__":
    digits = digits_dataset()
    np.savez_compressed(Path(__file__).with_name("digits_test.npz"), x=digits.test_x, y=digits.test_y)
