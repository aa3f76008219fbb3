"""The site: every public name has its place in the reference; pages that run print what they say."""

import hte_bridge
from website import reference


def test_the_reference_leaves_no_public_name_out():
    placed = {name for chapter in reference.CHAPTERS for name in chapter.names}
    assert set(hte_bridge.__all__) <= placed
