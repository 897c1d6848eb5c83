"""A request that is wrong gets one clear 4xx, which names what was expected and what came."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from urllib.parse import urlsplit

import pytest

from fastseq import Transducer
from fastseq.serve.limits import Limits
from fastseq.serve.model import Model
from support.serve.client import Client, serving

DEEP = b'{"text":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
NOT_JSON = {
    b"": "got nothing",
    b"  \n": "got nothing",
    b"abade": "Expecting value, line 1, column 1",
    b'{"text": "a"': "line 1, column 13",
    b'{"text": "a"} x': "Extra data",
    b'{"text": "\x01"}': "Invalid control character",
    b'{"text": "\xff"}': "expected UTF-8, got the byte 0xff at position 10",
    b'\xef\xbb\xbf{"text": "a"}': "BOM",
    '{"text": "a"}'.encode("utf-16"): "expected UTF-8, got the byte 0xff at position 0",
    b'{"text": NaN}': "got NaN",
    b'{"text": "a", "beam": Infinity}': "got Infinity",
    b'{"text": "a", "beam": -Infinity}': "got -Infinity",
    b'{"text": "a", "text": "b"}': "got 'text' twice",
    b'{"text": {"a": 1, "a": 2}}': "got 'a' twice",
    b'{"beam": ' + b"9" * 100_000 + b"}": "at most 100 digits, got 100000",
    DEEP: "nested too deeply",
}
WRONG_FIELDS = {
    b"[1, 2]": ("body", "a JSON object", "a list of 2"),
    b"null": ("body", "a JSON object", "null"),
    b"3": ("body", "a JSON object", "3"),
    b"{}": ("text", "a string, or texts, a list of strings", "neither"),
    b'{"text": "a", "texts": ["a"]}': ("texts", "text or texts", "both"),
    b'{"text": 1}': ("text", "a string", "1"),
    b'{"text": null}': ("text", "a string", "null"),
    b'{"text": true}': ("text", "a string", "true"),
    b'{"text": ["a"]}': ("text", "a string", "a list of 1"),
    b'{"text": {"a": 1}}': ("text", "a string", "an object"),
    b'{"text": ""}': ("text", "a text that is not blank", "''"),
    b'{"text": " \\n"}': ("text", "a text that is not blank", "' \\n'"),
    b'{"texts": "abc"}': ("texts", "a list of strings", "'abc'"),
    b'{"texts": ["a", 2]}': ("texts[1]", "a string", "2"),
    b'{"texts": ["a", "b", "\\udc80c"]}': (
        "texts[2]",
        "Unicode text",
        "the lone surrogate \\udc80 at position 0",
    ),
    b'{"text": "a", "model": "x"}': ("model", "one of 'tiny', 'both', 'features'", "'x'"),
    b'{"text": "a", "model": 1}': ("model", "one of 'tiny', 'both', 'features'", "1"),
    b'{"text": "a", "beam": 0}': ("beam", "a whole number from 1 to 32", "0"),
    b'{"text": "a", "beam": 33}': ("beam", "a whole number from 1 to 32", "33"),
    b'{"text": "a", "beam": 2.0}': ("beam", "a whole number from 1 to 32", "2.0"),
    b'{"text": "a", "beam": "2"}': ("beam", "a whole number from 1 to 32", "'2'"),
    b'{"text": "a", "beam": true}': ("beam", "a whole number from 1 to 32", "true"),
    b'{"text": "a", "beam": 1e999}': ("beam", "a whole number from 1 to 32", "inf"),
    b'{"text": "a", "beam": ' + b"9" * 80 + b"}": (
        "beam",
        "a whole number from 1 to 32",
        "a number of more than 60 digits",
    ),
    b'{"text": "a", "beam": 2, "n_best": 3}': (
        "n_best",
        "a whole number from 1 to beam = 2",
        "3",
    ),
    b'{"text": "a", "scores": 1}': ("scores", "true or false", "1"),
    b'{"text": "a", "attention": "yes"}': ("attention", "true or false", "'yes'"),
    b'{"text": "a\\ta", "model": "features", "attention": true}': (
        "attention",
        "false of the model 'features'",
        "true",
    ),
    b'{"text": "a", "bem": 1}': (
        "bem",
        "one of the fields text, texts, model, beam, n_best, scores, attention",
        "another field",
    ),
    b'{"text": "a", "<b>\\n": 1}': (
        r"'<b>\n'",
        "one of the fields text, texts, model, beam, n_best, scores, attention",
        "another field",
    ),
}


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:30]))
def test_what_is_no_json_is_400(client: Client, body: bytes) -> None:
    answer = client.post(body)
    assert answer.status == 400
    assert answer.error["message"].startswith("body: expected ")
    assert NOT_JSON[body] in answer.error["message"]


@pytest.mark.parametrize("body", WRONG_FIELDS, ids=lambda body: repr(body[:40]))
def test_a_wrong_field_is_422(client: Client, body: bytes) -> None:
    answer = client.post(body)
    field, expected, got = WRONG_FIELDS[body]
    message = f"{field}: expected {expected}, got {got}"
    assert answer.status == 422
    assert answer.error == {
        "status": 422,
        "message": message,
        "field": field,
        "expected": expected,
        "got": got,
    }


def test_long_values_are_shortened(client: Client) -> None:
    error = client.predict(text="a", model="x" * 900).error
    assert len(error["message"]) < 200
    error = client.post(json.dumps({"text": "a", "y" * 900: 1}).encode()).error
    assert len(error["message"]) < 200


@pytest.mark.parametrize(
    ("headers", "got"),
    [
        ({}, "none"),
        ({"content_type": "text/plain"}, "'text/plain'"),
        ({"content_type": "application/x-www-form-urlencoded"}, "form-urlencoded'"),
        ({"content_type": "application/json", "content_encoding": "gzip"}, "'gzip'"),
    ],
)
def test_only_plain_json_is_read(client: Client, headers: dict[str, str], got: str) -> None:
    answer = client.request("POST", "/v1/predict", b'{"text": "a"}', **headers)
    assert answer.status == 415
    assert answer.error["got"].endswith(got)


def test_json_may_name_its_charset(client: Client) -> None:
    body, kind = b'{"text": "a"}', "Application/JSON; charset=utf-8"
    assert client.request("POST", "/v1/predict", body, content_type=kind).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/predict", 405),
        ("POST", "/health", 405),
        ("DELETE", "/", 405),
        ("GET", "/v1/predict/", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/static/serve.js", 404),
        ("GET", "/%00%ff", 404),
    ],
)
def test_other_paths_and_methods(client: Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status == answer.error["status"] == status


def test_a_large_body_is_not_read(transducer: Transducer) -> None:
    with serving([Model("tiny", transducer)], body=100) as client:
        assert client.predict(text="abade").status == 200
        answer = client.post(b" " * 101)
        assert answer.status == 413
        assert answer.error["message"] == "body: expected at most 100 bytes, got 101 bytes"
        # announced, and not sent
        with contextlib.closing(client.connect()) as connection:
            connection.putrequest("POST", "/v1/predict")
            connection.putheader("content-type", "application/json")
            connection.putheader("content-length", str(10**15))
            connection.endheaders()
            assert connection.getresponse().status == 413


def test_a_large_body_without_a_length_is_413(transducer: Transducer) -> None:
    parts = (b" " * 60 for _ in range(3))
    kind = {"content-type": "application/json"}
    with (
        serving([Model("tiny", transducer)], body=100) as client,
        contextlib.closing(client.connect()) as connection,
    ):
        connection.request("POST", "/v1/predict", parts, kind, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_long_texts_and_many_are_413(transducer: Transducer) -> None:
    with serving([Model("tiny", transducer)], text=10, texts=3) as client:
        assert client.predict(texts=["a" * 10] * 3).status == 200
        answer = client.predict(texts=["a", "a" * 11])
        assert answer.status == 413
        assert answer.error["message"] == "texts[1]: expected at most 10 characters, got 11"
        answer = client.predict(texts=["a"] * 4)
        assert answer.status == 413
        assert answer.error["message"] == "texts: expected at most 3 texts, got 4"


def test_the_maps_of_a_request_are_limited(transducer: Transducer) -> None:
    """Those of a thousand long texts would take gigabytes."""
    with serving([Model("tiny", transducer)], text=10) as client:
        assert client.predict(texts=["abade"] * 2, attention=True).status == 200
        assert client.predict(texts=["abade"] * 3).status == 200
        answer = client.predict(texts=["abade"] * 3, attention=True)
        assert answer.status == 413
        assert answer.error["message"] == (
            "attention: expected false of texts of more than 10 characters in all, got 15"
        )


def test_names_of_other_hosts_are_refused_where_only_this_machine_is_answered(
    transducer: Transducer,
) -> None:
    with serving([Model("tiny", transducer)], hosts={"localhost", "proxied"}) as client:
        for host in ("localhost", "LocalHost:80", "127.0.0.1:8000", "[::1]:8000", "proxied"):
            assert client.get("/health", host=host).status == 200
        for host in ("evil.example", "evil.example:8000", "", "localhost.evil.example", "[x"):
            answer = client.get("/health", host=host)
            assert answer.status == 421
            assert answer.error["field"] == "Host"


def test_what_is_no_http_ends_the_connection_alone(client: Client) -> None:
    place = urlsplit(client.url)
    for sent in (b"\x16\x03\x01\x02\x00" * 9, b"GET /\r\n\r\n", b"a" * 10**6):
        with socket.create_connection((place.hostname, place.port), timeout=60) as sock:
            try:
                sock.sendall(sent + b"\r\n\r\n")
                received = sock.recv(1000)
            except ConnectionError:
                continue
            assert received == b"" or received.startswith(b"HTTP/1.1 400 ")
    assert client.predict(text="abade").status == 200


def test_random_documents_are_answered_or_refused(client: Client) -> None:
    """Changed at random, a good document is answered, or is an error of the client."""
    draw = random.Random(0)
    parts = [b"", b'"', b"{", b"[", b"9" * 50, b"\xf0", b"null", b","]
    good = b'{"texts": ["abade", "f\\u00e9"], "beam": 2, "n_best": 2, "scores": true}'
    statuses = set()
    for _ in range(500):
        body = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(body))
            body[place : place + draw.randint(0, 3)] = draw.choice([*parts, draw.randbytes(1)])
        answer = client.post(bytes(body))
        statuses.add(answer.status)
        if answer.status != 200:
            assert answer.error["message"]
    assert statuses == {200, 400, 422}
    assert client.reports == []


def test_limits_have_defaults_that_fit_together() -> None:
    limits = Limits()
    assert limits.texts <= limits.queue
    # a request of as many texts as may be fits, if they are short
    assert limits.texts * 100 <= limits.body
    assert limits.requests * limits.body <= 2**28
