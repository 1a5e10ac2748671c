"""The training scripts of the pocket model import each other by plain names, as scripts beside each other do."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "pocket"))
