"""How often something happened, how sure that is, and how the threshold follows a gallery."""

from __future__ import annotations

import math
from dataclasses import dataclass

BASE_SIZE = 10
"""Templates up to which the base threshold holds: at a false match rate of 1e-3 each, ten of them
greet one stranger in a hundred by a wrong name."""
Z = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened. of: how often it could have."""

    count: int
    of: int

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest share that the count is compatible with, at 95 %.

        E. B. Wilson, 1927: it says something for a count of 0 too. Without any trial, 0 to 1.
        """
        if not self.of:
            return 0.0, 1.0
        n, p = self.of, self.share
        middle = p + Z * Z / (2 * n)
        reach = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        low, high = ((middle + side * reach) / (1 + Z * Z / n) for side in (-1, 1))
        return max(0.0, low), min(1.0, high)


def threshold_at_size(base: float, slope: float, templates: int) -> float:
    """Least cosine of a match in a gallery of so many templates.

    A stranger meets every template, so false alarms grow with the gallery: the rate for each must
    shrink as 1/N for the rate of all to stay. The tail of strangers' scores falls at least tenfold
    every `slope` (measured, see starter.THRESHOLD), so the same number of false greetings needs
    `slope` more for each tenfold gallery.
    """
    return base + slope * math.log10(max(templates / BASE_SIZE, 1.0))
