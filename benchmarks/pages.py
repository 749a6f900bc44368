"""What the store costs a visitor: bytes on the wire, largest paint, and the time from a click on a filter to its painted answer.

python -m benchmarks.pages http://localhost:3000      # a running, production-built Bourse; needs Debian's chromium and playwright
"""

import statistics
import sys
from collections import Counter
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

ROUNDS = 7
CLICKS = 30
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

_WATCH = """window.lcp = 0; window.cls = 0;
new PerformanceObserver(list => { for (const e of list.getEntries()) window.lcp = e.startTime; })
  .observe({type: 'largest-contentful-paint', buffered: true});
new PerformanceObserver(list => { for (const e of list.getEntries()) window.cls += e.value; })
  .observe({type: 'layout-shift', buffered: true});"""

# From the click until the frame after the one in which the headline has its new text.
_CLICK = """async number => {
  const boxes = document.querySelectorAll('input[data-facet="can"]'), headline = document.querySelector('[data-testid=headline]');
  const before = headline.textContent, start = performance.now();
  boxes[number % boxes.length].click();
  return await new Promise(done => {
    const look = () => headline.textContent === before ? requestAnimationFrame(look)
      : requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    requestAnimationFrame(look);
  });
}"""


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        visits = [visit(browser, url) for _ in range(ROUNDS)]
        clicks = click_times(browser, url)
        browser.close()
    wire = visits[0]["wire"]
    code = wire["Script"] + wire["Stylesheet"]
    largest = [one["lcp"] for one in visits]
    rows = [
        ("scripts and styles on the wire", f"{code / 1000:.1f} kB ({code / 1024:.1f} KiB)"),
        ("HTML / fonts on the wire", f"{wire['Document'] / 1000:.1f} kB / {wire['Font'] / 1000:.1f} kB"),
        (f"largest paint, median and worst of {ROUNDS}", f"{statistics.median(largest):.0f} ms / {max(largest):.0f} ms"),
        ("layout shift, worst", f"{max(one['cls'] for one in visits):.4f}"),
        (f"click on a filter to paint, p50 and p95 of {CLICKS}", f"{quantile(clicks, 0.5):.0f} ms / {quantile(clicks, 0.95):.0f} ms"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def visit(browser: Browser, url: str) -> dict[str, Any]:
    """One cold visit of the store: bytes by kind, largest paint in ms, layout shift."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    wire = count_bytes(context.new_cdp_session(page))
    page.add_init_script(_WATCH)
    open_store(page, url)
    page.wait_for_function("window.lcp > 0 && document.fonts.status === 'loaded'")
    found = {"wire": dict(wire), "lcp": page.evaluate("window.lcp"), "cls": page.evaluate("window.cls")}
    context.close()
    return found


def count_bytes(session: CDPSession) -> Counter[str]:
    """Bytes as they came over the network, headers included, by kind of resource; filled while the page loads."""
    kinds: dict[str, str] = {}
    total: Counter[str] = Counter()

    def finished(event: dict[str, Any]) -> None:
        total[kinds.get(event["requestId"], "Other")] += int(event["encodedDataLength"])

    session.send("Network.enable")
    session.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]}))
    session.on(
        "Network.loadingFinished", lambda event: total.update({kinds.get(event["requestId"], "Other"): int(event["encodedDataLength"])})
    )
    return total


def click_times(browser: Browser, url: str) -> list[float]:
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    open_store(page, url)
    return [float(page.evaluate(_CLICK, number)) for number in range(CLICKS)]


def open_store(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("html[data-live]", state="attached")


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:3000")
