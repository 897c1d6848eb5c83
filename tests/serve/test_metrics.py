"""The metrics are in Prometheus' text format, and count what was done."""

from __future__ import annotations

import re

from fastseq import Transducer
from fastseq.serve.metrics import Histogram, Metrics
from fastseq.serve.model import Model
from support.serve.client import serving

SAMPLE = re.compile(r'([a-z_]+)(?:\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})? (\S+)')


def test_every_line_is_a_sample_or_describes_those_that_follow(transducer: Transducer) -> None:
    with serving([Model('a "quoted"\\name', transducer)]) as client:
        client.predict(text="fade")
        answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    described = ""
    for line in answer.body.decode().splitlines():
        if line.startswith("# HELP "):
            described = line.split()[2]
        elif line.startswith("# TYPE "):
            assert line.split()[2] == described
            assert line.split()[3] in ("counter", "gauge", "histogram")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            assert sample[1].startswith(described)
            float(sample[2])


def test_requests_and_texts_are_counted(transducer: Transducer) -> None:
    with serving([Model("tiny", transducer)]) as client:
        client.predict(texts=["fade", "x", "y"])
        client.predict(text=1)
        client.get("/of/someone")
        client.get("/of/another")
        expected = {
            'fastseq_requests_total{path="/v1/predict",code="200"}': 1,
            'fastseq_requests_total{path="/v1/predict",code="422"}': 1,
            'fastseq_requests_total{path="other",code="404"}': 2,
            'fastseq_texts_total{model="tiny"}': 3,
            'fastseq_texts_with_unknown_symbols_total{model="tiny"}': 2,
            "fastseq_batch_texts_count": 1,
            "fastseq_batch_texts_sum": 3,
            "fastseq_queue_texts": 0,
        }
        # a request is counted when its answer was sent, which may be after it was received
        client.wait_for('fastseq_requests_total{path="other",code="404"}', 2)
        assert {line: client.metric(line) for line in expected} == expected


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram((1, 2.5))
    for value in (0.5, 1, 1.5, 2.5, 3):
        histogram.add(value)
    assert list(histogram.lines("x")) == [
        'x_bucket{le="1"} 2',
        'x_bucket{le="2.5"} 4',
        'x_bucket{le="+Inf"} 5',
        "x_sum 8.500000",
        "x_count 5",
    ]


def test_metrics_of_nothing_are_text() -> None:
    text = Metrics().text()
    assert text.endswith("\n")
    assert "fastseq_queue_texts 0\n" in text
