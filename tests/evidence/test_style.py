"""How all figures look."""

import matplotlib
from matplotlib.font_manager import fontManager

from pipeline.evidence.style import MORE_FONTS, style


def test_names_in_other_scripts_have_a_font_where_the_machine_has_one():
    there = {font.name for font in fontManager.ttflist}
    with style():
        first, *more = matplotlib.rcParams["font.family"]
    assert first == "DejaVu Sans"  # figures of names in Latin letters look the same everywhere
    assert more == [name for name in MORE_FONTS if name in there]
