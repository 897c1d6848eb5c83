"""`ScoredAttention`: padding, and rows that do not depend on their batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fastseq.layers import ScoredAttention
from support.helpers import (
    assert_close,
    float32_tolerance,
)
from support.layers.scored_attention import (
    KINDS,
    arguments,
    assert_same_bits,
    draw_lengths,
    draw_params,
    padded,
    run,
    run_both,
)

# ---- padding ----


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_zero_in_every_result(isa: str, kind: str) -> None:
    N, Te, Td, H, A = 9, 7, 5, 17, 9
    encoder_lengths, decoder_lengths = draw_lengths(N, Te, Td)
    results, _ = run_both(kind, (N, Te, Td, H, A), with_lengths=True)
    no_encoder = np.arange(Te) >= encoder_lengths[:, np.newaxis]
    no_decoder = np.arange(Td) >= decoder_lengths[:, np.newaxis]
    assert not results["contexts"][no_decoder].any()
    assert not results["weights"][no_decoder].any()
    assert not results["weights"].transpose(0, 2, 1)[no_encoder].any()
    assert not results["dhs_enc"][no_encoder].any()
    assert not results["dhs_dec"][no_decoder].any()
    sums = results["weights"].sum(axis=2)[~no_decoder]
    assert_close(sums, np.ones(len(sums)), **float32_tolerance(Te))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_part_in_the_results(isa: str, kind: str) -> None:
    N, Te, Td, H, A = 9, 7, 5, 17, 9
    params, arrays = draw_params(kind, H, A), arguments(N, Te, Td, H)
    lengths = draw_lengths(N, Te, Td)
    expected = run(ScoredAttention(kind, params), *arrays, lengths)
    sides = (lengths[0], lengths[1], lengths[1])
    for value in (np.nan, np.inf, 0.0):
        spoilt = [padded(array, side, value) for array, side in zip(arrays, sides, strict=True)]
        assert_same_bits(run(ScoredAttention(kind, params), *spoilt, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_full_lengths_change_nothing(isa: str, kind: str) -> None:
    params, arrays = draw_params(kind, 17, 9), arguments(5, 7, 4, 17)
    expected = run(ScoredAttention(kind, params), *arrays, (None, None))
    full = np.full(5, 7), np.full(5, 4)
    for lengths in (full, (full[0], None), (None, full[1])):
        assert_same_bits(run(ScoredAttention(kind, params), *arrays, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_row_is_the_same_alone_padded_and_in_any_batch(
    isa: str, kind: str, set_threads: Callable[[int], None]
) -> None:
    N, Te, Td, H, A = 33, 17, 9, 130, 70
    layer = ScoredAttention(kind, draw_params(kind, H, A))
    hs_enc, hs_dec, _ = arguments(N, Te, Td, H)
    encoder_lengths, decoder_lengths = draw_lengths(N, Te, Td)
    for threads in (1, 2, 4):
        set_threads(threads)
        contexts = layer.forward(hs_enc, hs_dec, encoder_lengths, decoder_lengths)
        weights = layer.attention_weights
        for n, (te, td) in enumerate(zip(encoder_lengths, decoder_lengths, strict=True)):
            alone = layer.forward(hs_enc[n : n + 1, :te], hs_dec[n : n + 1, :td])
            assert np.array_equal(alone.view(np.uint32)[0], contexts.view(np.uint32)[n, :td])
            assert np.array_equal(layer.attention_weights[0], weights[n, :td, :te])
        for rows in (slice(7, 10), slice(1, N)):
            part = layer.forward(
                hs_enc[rows], hs_dec[rows], encoder_lengths[rows], decoder_lengths[rows]
            )
            assert np.array_equal(part.view(np.uint32), contexts[rows].view(np.uint32))


@pytest.mark.parametrize("kind", KINDS)
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, kind: str, set_threads: Callable[[int], None]
) -> None:
    params, arrays = draw_params(kind, 130, 70), arguments(65, 33, 17, 130)
    lengths = draw_lengths(65, 33, 17)
    set_threads(1)
    expected = run(ScoredAttention(kind, params), *arrays, lengths)
    for threads in (2, 4):
        set_threads(threads)
        assert_same_bits(run(ScoredAttention(kind, params), *arrays, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, kind: str, bad: float) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 17, 9))
    hs_enc, hs_dec, _ = arguments(9, 5, 4, 17)
    clean = layer.forward(hs_enc, hs_dec)
    hs_enc[4, 2, 1] = bad
    contexts = layer.forward(hs_enc, hs_dec)
    others = np.arange(9) != 4
    assert np.array_equal(contexts[others], clean[others])
    assert not np.isfinite(contexts[4]).all()
