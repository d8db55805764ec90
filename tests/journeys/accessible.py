"""axe-core on the page as it stands, by the rules of WCAG 2.2 AA."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

complaints: list[str] = []
"""What the pages of the running test complained about in their consoles."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


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
    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    # axe tries inline styles to measure with; the policy refuses them, as it should.
    page.evaluate("() => document.title")
    del complaints[before:]
    return [f"{fault['id']}: {fault['nodes'][0]['html'][:120]}" for fault in found]


WIDTHS = (390, 820, 1280)


def faults_everywhere(page: Page) -> list[str]:
    """`faults` on a phone in the light and on a desk in the dark, and every width that does not
    hold the page."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        found += [f"{over} px too wide at {width}"] if over > 0 else []
    for scheme, width in (("light", WIDTHS[0]), ("dark", WIDTHS[-1])):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{scheme} {fault}" for fault in faults(page)]
    return found
