"""How long a photo takes on the page: from the drop to the answers of the strategies that are ticked, in a Chromium.

    python benchmarks/page.py [--photos 20] [--chromium /usr/bin/chromium]

The page and the server, with the bundled model, share the machine. A photo of 600 × 400 pixels is dropped again and
again; the time ends when every strategy's answer stands there. Writes benchmarks/results/page.json.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
from machine import load_average, processor
from playwright.sync_api import Page, sync_playwright
from skimage import data

OUT = Path(__file__).resolve().parent / "results" / "page.json"
PHOTO = Path(data.__file__).parent / "coffee.png"
CHOICES = [("zero_shot",), ("zero_shot", "tda"), ("zero_shot", "mta"), ("zero_shot", "tda", "mta", "zero")]
DROP = """async ([photo, columns]) => {
    const bytes = Uint8Array.from(atob(photo), (one) => one.charCodeAt(0));
    const transfer = new DataTransfer(), before = new Set(document.querySelectorAll(".column .best"));
    transfer.items.add(new File([bytes], "coffee.png", {type: "image/png"}));
    const began = performance.now();
    document.querySelector(".picture").dispatchEvent(
        new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
    while ([...document.querySelectorAll(".column .best")].filter((one) => !before.has(one)).length < columns)
        await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""


def choose(page: Page, names: tuple[str, ...]) -> None:
    """Ticks these strategies and no others."""
    chips = page.locator("section:not([hidden]) .chips")
    while chips.locator("input:checked").count():
        chips.locator("input:checked").first.uncheck(force=True)
    for name in names:
        chips.get_by_role("checkbox", name=re.compile(rf"^{name}\b")).check(force=True)


def measure(page: Page, photos: int) -> list[dict[str, object]]:
    photo, rows = base64.b64encode(PHOTO.read_bytes()).decode(), list[dict[str, object]]()
    for names in CHOICES:
        times = list[float]()
        for _ in range(photos + 2):
            page.reload()
            page.locator(".server.up").wait_for()
            choose(page, names)
            times.append(page.evaluate(DROP, [photo, len(names)]))
        p50, worst = statistics.median(times[2:]), max(times[2:])
        rows.append({"strategies": list(names), "p50_ms": round(p50), "worst_ms": round(worst)})
        print(f"{', '.join(names):28} {p50:6.0f} {worst:6.0f}")
    return rows


def is_ready(url: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{url}readyz").is_success
    except httpx.TransportError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    args = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    words = ["serve", "--port", "0", "--metrics-port", "0", "--log-level", "error", "--set", "http.enabled=true"]
    command = [sys.executable, "-m", "tta_service", *words, "--set", f"http.port={url.split(':')[2].rstrip('/')}"]
    with subprocess.Popen(command) as server, sync_playwright() as playwright:
        while not is_ready(url):
            time.sleep(0.2)
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(url)
        page.locator(".server.up").wait_for()
        print(f"{'strategies':28} p50, ms  worst")
        rows = measure(page, args.photos)
        browser.close()
        server.terminate()
    found = {"machine": processor(), "load_average": load_average(), "rows": rows}
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
