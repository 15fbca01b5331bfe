"""Places that tests share."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
SEARCH_SPACES = ROOT / "search_spaces"
REAL_DATA = ROOT.parent / "shared" / "data"  # optional
