"""What a policy is to its caller: observations in, an action chunk out; local and remote ones are interchangeable."""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from robostral.contract import Sealed


class Policy(Protocol):
    """A map from raw observations to bounded action chunks."""

    @property
    def sealed(self) -> "Sealed":
        """The contract that this policy was trained for, with its identity."""
        ...

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map observations, shape (rows, obs_size), to chunks, shape (rows, horizon, n), units of the contract."""
        ...

    def close(self) -> None:
        """Release what the policy holds; calling it twice is harmless."""
        ...
