"""The server's answers are the model's, whatever else is asked at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fastseq import Ensemble, Transducer
from fastseq.serve.model import Model
from support.processes import FASTSEQ
from support.serve.client import Client, serving, until
from support.transducer.tiny_transducer import tiny_pairs

WORDS = sorted(set(tiny_pairs(200, seed=1)[0]))


def test_one_text_is_answered_as_by_the_model(client: Client, transducer: Transducer) -> None:
    answer = client.predict(text="fade")
    assert answer.status == 200
    [expected] = transducer.predict(["fade"])
    result = {"input": "fade", "answers": [{"text": expected, "cut": False}]}
    assert answer.document == {"model": "tiny", "results": [result]}


def test_texts_are_answered_in_their_order(client: Client, transducer: Transducer) -> None:
    results = client.predict(texts=WORDS).document["results"]
    assert [result["input"] for result in results] == WORDS
    assert [result["answers"][0]["text"] for result in results] == transducer.predict(WORDS)


def test_no_texts_have_no_answers(client: Client) -> None:
    assert client.predict(texts=[]).document == {"model": "tiny", "results": []}


def test_a_result_is_a_line_of_predict_json(client: Client, model_file: Path) -> None:
    texts = ["fade", "xbé", "a" * 40]
    options = ["--json", "--beam", "3", "--n-best", "2", "--scores"]
    command = [*FASTSEQ, "predict", str(model_file), *texts, *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    results = client.predict(texts=texts, beam=3, n_best=2, scores=True).document["results"]
    assert results == lines
    assert results[1]["unknown"] == ["x", "é"]


def test_a_cut_answer_is_marked(transducer: Transducer) -> None:
    copy = Transducer.of(transducer.model_config, transducer.network_.params, [])
    copy.lengths_ = copy.lengths_._replace(target=-8)  # answers are cut after two symbols
    with serving([Model("short", copy)]) as client:
        [result] = client.predict(text="abcd").document["results"]
        assert result["answers"] == [{"text": "AB", "cut": True}]
        assert client.metric('fastseq_answers_cut_total{model="short"}') == 1


@pytest.mark.parametrize("beam", [1, 4])
def test_attention_is_that_of_the_best_answer(
    client: Client, transducer: Transducer, beam: int
) -> None:
    document = client.predict(texts=["fade", "xb"], attention=True, beam=beam).document
    for text, result in zip(("fade", "xb"), document["results"], strict=True):
        weights, symbols, output = transducer.attention(text, "ignore", beam)
        assert result["attention"]["input"] == symbols
        assert result["attention"]["output"] == output
        assert "".join(output) == result["answers"][0]["text"]
        np.testing.assert_allclose(result["attention"]["weights"], weights, atol=1e-6)


def test_an_ensemble_answers(client: Client, ensemble: Ensemble) -> None:
    document = client.predict(texts=WORDS, model="both", beam=2, attention=True).document
    answers = [result["answers"][0]["text"] for result in document["results"]]
    assert answers == ensemble.predict(WORDS, beam_size=2)


def test_a_model_with_features_takes_columns(client: Client, with_features: Transducer) -> None:
    result = client.predict(text="N;PL\tfade", model="features").document["results"][0]
    assert [result["answers"][0]["text"]] == with_features.predict([("fade", "N;PL")])
    error = client.predict(texts=["N;PL\tfade", "fade"], model="features").error
    assert error["field"] == "texts[1]"
    assert "expected the columns source,features with tabs between them" in error["message"]


def test_answers_do_not_depend_on_what_is_asked_meanwhile(
    client: Client, transducer: Transducer, ensemble: Ensemble
) -> None:
    asked = [
        {"texts": [word, *WORDS[: count % 30]], "model": model, "beam": beam, "scores": True}
        for count, word in enumerate(WORDS[::3])
        for model, beam in (("tiny", 1), ("tiny", 3), ("both", 2))
    ]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda fields: client.predict(**fields), asked))
    models = {"tiny": transducer, "both": ensemble}
    for fields, answer in zip(asked, answers, strict=True):
        found = models[fields["model"]].answers(fields["texts"][:1], fields["beam"])
        first = answer.document["results"][0]["answers"][0]
        assert (first["text"], first["score"]) == (found[0][0].text, found[0][0].score)


def test_requests_that_come_together_are_answered_together(transducer: Transducer) -> None:
    with serving([Model("tiny", transducer)]) as client, ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda word: client.predict(text=word), WORDS * 2))
        batches = client.metric("fastseq_batch_texts_count")
        assert client.metric("fastseq_batch_texts_sum") == 2 * len(WORDS) > batches


def test_a_text_that_fails_does_not_fail_others(transducer: Transducer) -> None:
    class Fragile(Model):
        def answer(self, search, sources):  # type: ignore[no-untyped-def]
            if "bad" in sources:
                raise FloatingPointError("secret")
            return super().answer(search, sources)

    with serving([Fragile("tiny", transducer)]) as client, ThreadPoolExecutor(8) as threads:
        words = ["fade", "bad", "face"] * 20
        answers = list(threads.map(lambda word: client.predict(text=word), words))
        for word, answer in zip(words, answers, strict=True):
            assert answer.status == (500 if word == "bad" else 200)
            assert b"secret" not in answer.body
        until(lambda: len(client.reports) == 20)
        assert {repr(error) for error in client.reports} == {"FloatingPointError('secret')"}
        assert client.get("/health").document == {"status": "ok"}


def test_importing_the_command_needs_no_extra() -> None:
    script = (
        "import sys, fastseq.cli.serve, fastseq.serve.model, fastseq.serve.batching\n"
        "assert not {'starlette', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
