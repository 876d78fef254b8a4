"""Names for the types that every room of the package uses."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
ComplexArray: TypeAlias = npt.NDArray[np.complex128]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
ArrayLike: TypeAlias = npt.ArrayLike

# A rule is written once for all of them: a float, a NumPy array (a batch axis), or a SymPy expression.
Hyperparameter: TypeAlias = Any
# A NamedTuple whose first field is `position`; it may nest tuples.
State: TypeAlias = Any
