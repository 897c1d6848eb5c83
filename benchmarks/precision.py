"""What training with products of bfloat16 costs in accuracy: dates, and a language model.

Trains each model in float32 and in bfloat16, from the same seeds, and prints a table in Markdown:

    python benchmarks/precision.py
    python benchmarks/precision.py dates --seeds 5

The dates are generated; 1,000 that are not trained on are answered. The language model
reads the characters of the Markdown pages of a checkout; its perplexity is that of the last tenth,
which is not trained on.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np

from fastseq import Transducer
from fastseq.data import dates
from fastseq.models import Rnnlm
from fastseq.optim import Adam
from fastseq.precision import products_in
from fastseq.train import RnnlmTrainer
from fastseq.util import eval_perplexity

PRECISIONS = ("float32", "bfloat16")
ROOT = Path(__file__).parents[1]
HELD_OUT = 1_000


def accuracy_of_dates(precision: str, pairs: int, epochs: int, seed: int) -> float:
    """The share of dates that are answered exactly."""
    sources, targets = zip(*dates.generate(pairs + HELD_OUT, seed=seed), strict=True)
    model = Transducer(
        hidden_size=64,
        epochs=epochs,
        learning_rate=0.005,
        batch_size=32,
        precision=precision,
        seed=seed,
    )
    model.fit(sources[:pairs], targets[:pairs], None)
    return model.score(sources[pairs:], targets[pairs:])


def perplexity_of_text(precision: str, characters: int, epochs: int, seed: int) -> float:
    """The perplexity of characters that were not trained on."""
    pages = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    text = "".join(page.read_text(encoding="utf-8") for page in pages)[:characters]
    symbols = sorted(set(text))
    ids = np.array([symbols.index(symbol) for symbol in text])
    corpus, held_out = np.split(ids, [9 * len(ids) // 10])
    np.random.seed(seed)
    with products_in(precision), contextlib.redirect_stdout(io.StringIO()):
        model = Rnnlm(vocab_size=len(symbols), wordvec_size=64, hidden_size=128)
        trainer = RnnlmTrainer(model, Adam(lr=0.002))
        trainer.fit(corpus[:-1], corpus[1:], epochs, batch_size=20, time_size=35, max_grad=0.25)
        model.reset_state()
        return eval_perplexity(model, held_out)


MODELS = {"dates": ("exact", accuracy_of_dates), "text": ("perplexity", perplexity_of_text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], help="default: both")
    parser.add_argument("--size", type=int, help="pairs (3,000), or characters (150,000)")
    parser.add_argument("--epochs", type=int, help="8 of dates, 3 of text")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    arguments = parser.parse_args()
    print("| model | figure | seed | float32 | bfloat16 |\n| :-- | :-- | --: | --: | --: |")
    for name in arguments.models or MODELS:
        figure, train = MODELS[name]
        size, epochs = {"dates": (3_000, 8), "text": (150_000, 3)}[name]
        for seed in range(arguments.seeds):
            found = [
                train(precision, arguments.size or size, arguments.epochs or epochs, seed)
                for precision in PRECISIONS
            ]
            cells = " | ".join(f"{number:.3f}" for number in found)
            print(f"| {name} | {figure} | {seed} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
