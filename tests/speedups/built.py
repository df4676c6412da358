"""The package `quotes-speedups`, for tests that need it."""

from typing import Any

import pytest

from quotes.runtime import speedups

package: Any = speedups.package
needs_package = pytest.mark.skipif(
    package is None, reason="quotes-speedups is not built, or switched off: run `make speedups`"
)
