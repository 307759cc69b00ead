"""Where the checkout is, and where results go."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "scripts" / "results"  # committed
SHARED = ROOT.parent / "shared" / "data"  # data beside the checkout, where there is any
