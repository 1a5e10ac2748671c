"""python -m deploy.grafana.generate: writes dashboards/*.json; with --check only compares them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import cameras, machine, overview, strategies, teaching
from .panels import dashboard

FOLDER = Path(__file__).parent / "dashboards"
PAGES = {
    "overview": overview,
    "strategies": strategies,
    "cameras": cameras,
    "machine": machine,
    "teaching": teaching,
}


def render() -> dict[Path, str]:
    """Each dashboard's file with its JSON."""
    return {
        FOLDER / f"{name}.json": json.dumps(
            dashboard(f"tta-{name}", page.TITLE, page.DESCRIPTION, page.ROWS), cls=JSONEncoder, indent=1, sort_keys=True
        )
        + "\n"
        for name, page in PAGES.items()
    }


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 when a check finds a stale file."""
    texts = render()
    stale = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is not what generate.py makes: run python -m deploy.grafana.generate")
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
