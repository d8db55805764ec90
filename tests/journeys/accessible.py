"""The page as it stands: axe-core by the rules of WCAG 2.2 AA, and whether everything has room."""

from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

complaints: list[str] = []
"""What the pages of the running test complained about in their consoles."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Without `resultTypes` axe also describes all that is well, node by node.
ASKED = {"runOnly": RULES, "resultTypes": ["violations"]}

SIZES = ((390, 844), (820, 1180), (1280, 900))
"""A phone, a tablet, a desk."""
HANGS_OUT = """() => [...document.querySelectorAll("body *")].filter((node) => {
    if (!node.checkVisibility() || !node.textContent.trim()) return false;
    if (node.matches("button, .button, .choice, .tool, .badge-button") &&
        node.scrollWidth > node.clientWidth + 1) return true;
    if (node.childElementCount || node.closest(".visually-hidden, .skip, svg")) return false;
    const { left, right, width } = node.getBoundingClientRect();
    return width && (left < -1 || right > document.documentElement.clientWidth + 1);
}).map((node) => node.textContent.trim().slice(0, 60))"""


def settle(page: Page) -> None:
    """Wait for the movements that end: in the middle of one, colours and places are of neither."""
    page.evaluate(
        """() => Promise.allSettled(document.getAnimations()
            .filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
            .map((one) => one.finished))"""
    )


def faults(page: Page) -> list[str]:
    """Return what axe finds, one line each: the rule and the first place."""
    settle(page)
    before = len(complaints)
    # A page that axe is in already needs it no second time.
    axe = Axe("" if page.evaluate("() => 'axe' in window") else AXE_SCRIPT)
    found = axe.run(page, options=ASKED).response["violations"]
    # axe tries inline styles to measure with; the policy refuses them, as it should.
    page.evaluate("() => document.title")
    del complaints[before:]
    return [f"{fault['id']}: {fault['nodes'][0]['html'][:120]}" for fault in found]


def crowded(page: Page, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[str]:
    """Return what hangs out of the screen, or of its button, at any of these sizes; and at a
    tablet's and a desk's also with text twice as large."""
    before = page.viewport_size
    found = []
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        for zoom in ("", "200%") if width >= 820 else ("",):
            page.evaluate("zoom => { document.documentElement.style.fontSize = zoom }", zoom)
            out = page.evaluate(HANGS_OUT)
            if out or page.evaluate(
                "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
            ):
                found.append(f"{width} {zoom}: {out}")
    page.evaluate("() => { document.documentElement.style.fontSize = '' }")
    if before:
        page.set_viewport_size(before)
    return found


def faults_everywhere(page: Page) -> list[str]:
    """`faults` on a phone in the light and on a desk in the dark, and every width that does not
    hold the page."""
    found = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        over = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        found += [f"{over} px too wide at {width}"] if over > 0 else []
    for scheme, (width, height) in (("light", SIZES[0]), ("dark", SIZES[-1])):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": height})
        found += [f"{scheme} {fault}" for fault in faults(page)]
    return found
