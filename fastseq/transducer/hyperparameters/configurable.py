"""The methods of scikit-learn's conventions over the attributes that hold hyperparameters."""

from __future__ import annotations

from typing import Any, Self

from fastseq.transducer.hyperparameters.table import HYPERPARAMETERS, check_names


class Configurable:
    """scikit-learn's methods over the attributes that hold hyperparameters."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters, as given to the constructor: "auto" stays that after `fit`.

        Parameters
        ----------
        deep : bool
            Without effect; scikit-learn passes it.

        Returns
        -------
        dict of str to value

        Examples
        --------
        >>> from fastseq import Transducer
        >>> Transducer(hidden_size=64).get_params()["hidden_size"]
        64
        """
        return {each.name: getattr(self, _attribute(each.name)) for each in HYPERPARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change hyperparameters; what was trained stays until the next `fit`.

        Parameters
        ----------
        **params
            New values by name; they are checked by `fit`.

        Returns
        -------
        The object itself.

        Raises
        ------
        ValueError
            There is no hyperparameter of such a name. None is changed then.

        Examples
        --------
        >>> from fastseq import Transducer
        >>> Transducer(cell="gru").set_params(hidden_size=64)
        Transducer(hidden_size=64, cell='gru')
        """
        check_names(params)
        for name, value in params.items():
            setattr(self, _attribute(name), value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn requires of an estimator; it is installed where this is called."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    def __repr__(self) -> str:
        defaults = {each.name: each.initial for each in HYPERPARAMETERS}
        changed = {k: v for k, v in self.get_params().items() if v != defaults[k]}
        arguments = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"{type(self).__name__}({arguments})"


def _attribute(name: str) -> str:
    """Where a hyperparameter is stored: `attention` is the name of a method already."""
    return "attention_kind" if name == "attention" else name
