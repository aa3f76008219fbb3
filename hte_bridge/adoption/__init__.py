"""What is studied where a treatment is adopted at different times: cells of cohort and period, and their stack."""

from hte_bridge.adoption.adopting import adopt
from hte_bridge.adoption.checked import refuse_other_roles
from hte_bridge.adoption.study import Adoption

__all__ = ["Adoption", "adopt", "refuse_other_roles"]
