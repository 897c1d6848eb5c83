"""A Transducer in scikit-learn's hands; skipped where that is not installed."""

import pytest

from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights

pytest.importorskip("sklearn", minversion="1.6")

PAIRS = tiny_pairs(24)


def test_it_is_cloned_and_validated_across_folds() -> None:
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    model = tiny_transducer(epochs=1).fit(*PAIRS)
    assert weights(clone(model).fit(*PAIRS)) == weights(model)
    scores = cross_val_score(model, *PAIRS, cv=3)
    assert scores.shape == (3,)
    assert ((0 <= scores) & (scores <= 1)).all()


def test_its_hyperparameters_are_searched() -> None:
    from sklearn.model_selection import GridSearchCV

    grid = {"cell": ["lstm", "gru"], "attention": ["dot", "none"]}
    search = GridSearchCV(tiny_transducer(epochs=1), grid, cv=2).fit(*PAIRS)
    assert set(search.best_params_) == {"cell", "attention"}
    assert search.predict(["ab"]) == search.best_estimator_.predict(["ab"])


def test_it_ends_a_pipeline() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    def turned(texts: list[str]) -> list[str]:
        return [text[::-1] for text in texts]

    words, capitals = PAIRS
    pipeline = make_pipeline(FunctionTransformer(turned), tiny_transducer(epochs=1))
    pipeline.fit(words, capitals)
    model = tiny_transducer(epochs=1).fit(turned(words), capitals)
    assert pipeline.predict(["abc"]) == model.predict(["cba"])


def test_what_is_not_trained_raises_its_error_too() -> None:
    import pickle

    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="fit or load it first") as failure:
        tiny_transducer().predict(["ab"])
    assert isinstance(failure.value, RuntimeError)
    again = pickle.loads(pickle.dumps(failure.value))  # as a worker process sends it
    assert isinstance(again, NotFittedError)
    assert isinstance(again, RuntimeError)
    assert str(again) == str(failure.value)
