"""Hydra looks for plugins once a process, at its first use, which may be another test's.

So the folder of `hydra_plugins` is on the path, as `src/train.py` puts it, before any test runs.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "src"))
