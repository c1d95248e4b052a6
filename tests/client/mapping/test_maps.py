"""maps.py: what tests/conformance/test_7_map.py does not show."""

from __future__ import annotations

from typing import cast

import pytest

from kernelfleet.client.mapping.maps import MapVerbs


@pytest.mark.parametrize("source", ["lambda x:", "x = 1", ""])
def test_source_text_that_is_no_expression_is_refused_here(source: str) -> None:
    with pytest.raises(SyntaxError):
        MapVerbs.map(cast(MapVerbs, None), source, [1])
