"""Every kind of surface, by its name."""

from __future__ import annotations

from hte_bridge.engines.deep.gp.kinds.additive import ADDITIVE
from hte_bridge.engines.deep.gp.kinds.edged import EDGED
from hte_bridge.engines.deep.gp.kinds.index import INDEX
from hte_bridge.engines.deep.gp.kinds.layout import Kind, KindName
from hte_bridge.engines.deep.gp.kinds.smooth import SMOOTH

KINDS: dict[KindName, Kind] = {"smooth": SMOOTH, "edged": EDGED, "index": INDEX, "additive": ADDITIVE}
