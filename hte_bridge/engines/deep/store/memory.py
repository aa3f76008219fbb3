"""How much memory a fit may take: half of what is free, or what its options say."""

from __future__ import annotations

from dataclasses import dataclass

from hte_bridge.engines.deep.options import Options
from hte_bridge.free_memory import available

GB = 10**9


@dataclass(frozen=True)
class MemoryRule:
    """How much of what is free a fit takes for itself."""

    # the other half is for the frame, other engines and what the forecast does not see
    share_of_free: float = 0.5


MEMORY = MemoryRule()


@dataclass(frozen=True)
class Budget:
    """Bytes that a fit may take beyond what the process holds already.

    Parameters
    ----------
    bytes : float
    said : bool
        Whether the user said so, by ``Deep(memory_gb=)``.
    """

    bytes: float
    said: bool = False

    @classmethod
    def of(cls, options: Options) -> Budget:
        """What the options say, or half of what is free now."""
        if options.memory_gb is not None:
            return cls(options.memory_gb * GB, said=True)
        return cls(MEMORY.share_of_free * available())

    @property
    def text(self) -> str:
        """The bound and who set it, in words.

        Examples
        --------
        >>> Budget(2.5e9, said=True).text
        '2.5 GB, as `memory_gb` says'
        """
        whose = "as `memory_gb` says" if self.said else "half of what is free (`Deep(memory_gb=)` sets it)"
        return f"{self.bytes / GB:.2g} GB, {whose}"
