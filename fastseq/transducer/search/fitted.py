"""What a trained model has, and the error of one that is not trained."""

from __future__ import annotations

from typing import Any

from fastseq.transducer.model_config import ModelConfig


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


class Fitted:
    """A model that may be fitted; it has a `network_` then."""

    def _require_fitted(self) -> None:
        if not hasattr(self, "network_"):
            kind = type(self).__name__
            raise not_fitted(f"this {kind} is not trained: fit or load it first")


class Configured(Fitted):
    """What a fitted model has of its `ModelConfig`.

    Attributes
    ----------
    vocabulary_ : named tuple of source and target, each a Vocabulary
    lengths_ : named tuple of source and target, each an int
    params_ : dict
        The hyperparameters that it was trained with, those that `fit` chose too.
    """

    _config: ModelConfig

    @property
    def model_config(self) -> ModelConfig:
        """Hyperparameters, vocabularies and lengths of the trained model.

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        """
        self._require_fitted()
        return self._config

    def _take_config(self, config: ModelConfig) -> None:
        self._config, self.vocabulary_, self.lengths_ = config, config.vocabulary, config.lengths
        self.params_ = dict(config.params)
        self._precision: str = config.params["precision"]
