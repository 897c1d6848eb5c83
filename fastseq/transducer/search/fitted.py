"""The error of a model that is not trained."""

from __future__ import annotations

from typing import Any


def not_fitted(message: str) -> RuntimeError:
    """The error of a model that nothing was trained for yet.

    Returns
    -------
    RuntimeError
        Where scikit-learn is installed, its ``NotFittedError`` as well.
    """
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return RuntimeError(message)

    class NotFitted(NotFittedError, RuntimeError):  # type: ignore[misc]
        def __reduce__(self) -> Any:  # to leave a worker process
            return not_fitted, (message,)

    return NotFitted(message)
