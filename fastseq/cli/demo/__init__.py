"""``fastseq demo``: train the textbook's models on generated data, and show what they learnt."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_INTERRUPTED, EXIT_OK, say, show
from fastseq.cli.demo.tasks import ADDITION, DATES, Recipe, Task
from fastseq.cli.parser import positive_number, whole_number

if TYPE_CHECKING:
    from fastseq.data.sequence import IdArray
    from fastseq.models import Seq2seq
    from fastseq.train import OnStep

MAX_GRAD = 5.0
TEXTBOOK_SEED = 1984
GOOD_ENOUGH = 0.995
SAMPLES = 10
_EXAMPLES = """\
examples:
  fastseq demo dates                        the attention model, in a minute or two
  fastseq demo addition                     three models, three curves in one figure
"""


@dataclass
class Examples:
    """The data of one demo: ids to train on, ids held out, and the symbols they stand for.

    `random_state` is that of NumPy's global generator after the loading.
    """

    noun: str
    x_train: IdArray
    t_train: IdArray
    x_test: IdArray
    t_test: IdArray
    symbols: dict[int, str]
    random_state: Any

    def text(self, ids: Any) -> str:
        """The symbols of a row of ids."""
        return "".join(self.symbols[int(number)] for number in ids)


@dataclass
class Run:
    """A model in training, and what it reached."""

    recipe: Recipe
    model: Seq2seq
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def questions(self, x: IdArray) -> IdArray:
        """The questions in the order in which this model reads them."""
        return x[:, ::-1] if self.recipe.reverse else x

    def file_name(self, folder: Path) -> Path:
        """Where the weights are saved."""
        return folder / f"{self.recipe.stem}.safetensors"


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="train the textbook's models on generated data",
        description="Train the textbook's models on generated data, and show what they learnt.",
        epilog=_EXAMPLES,
    )
    tasks = parser.add_subparsers(title="demos", metavar="TASK", required=True)
    for task in (DATES, ADDITION):
        _add_task_parser(tasks, task)


def _add_task_parser(tasks: Any, task: Task) -> None:
    parser = tasks.add_parser(
        task.name,
        help=task.help,
        description=task.description,
        epilog=task.examples,
    )

    def option(*names: str, default: Any, help: str, **settings: Any) -> None:
        help = f"{help} (default: {default})"
        parser.add_argument(*names, default=default, help=help, **settings)

    size = {"type": whole_number(1), "metavar": "N"}
    seed = {"type": whole_number(0, 2**32 - 1 - TEXTBOOK_SEED), "metavar": "S"}
    rate = {"type": positive_number, "metavar": "RATE"}
    option("--epochs", default=task.epochs, help="stop after N epochs at the latest", **size)
    option("-n", dest="count", default=50_000, help="how many pairs, a tenth held out", **size)
    option("--batch-size", default=128, help="examples in a training step", **size)
    option("--hidden-size", default=task.hidden_size, help="width of the LSTM's state", **size)
    option("--embedding-size", default=16, help="width of a symbol's vector", **size)
    option("--learning-rate", default=0.001, help="Adam's", **rate)
    option("--seed", default=task.seed, help="of the data, the weights and the order", **seed)
    parser.add_threads()
    folder = f"demo-{task.name}"
    option("-o", "--output", default=folder, help="folder of the results", metavar="DIR")
    if task.compared:
        labels = " and ".join(recipe.label for recipe in task.compared)
        parser.add_argument(
            "--compare", action="store_true", help=f"train the {labels} models too, for comparison"
        )
    parser.set_defaults(run=run, task=task, compare=False)


def run(arguments: argparse.Namespace) -> int:
    """Train every recipe, show what the task's own answers, and write the files."""
    task: Task = arguments.task
    _check_options(arguments)
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    drawing = _can_draw()
    examples = _make_examples(folder / f"{task.name}.txt", arguments)

    curves = folder / f"{task.name}-accuracy.png"
    runs: list[Run] = []
    try:
        for recipe in task.recipes + (task.compared if arguments.compare else ()):
            runs.append(_start(recipe, examples, arguments))
            _train(runs[-1], examples, arguments)
            _save_model(runs[-1], folder)
    except KeyboardInterrupt:
        if not runs:
            raise
        reached = f"{runs[-1].recipe.label}, epoch {len(runs[-1].accuracies) + 1}"
        say(f"interrupted: {reached}; the model so far is in {_save_model(runs[-1], folder)}")
        if drawing and runs[0].accuracies:
            _save_curves(runs, examples, curves)
        return EXIT_INTERRUPTED

    shown = runs[len(task.recipes) - 1]
    _print_samples(shown, examples)
    if len(runs) > 1:
        _print_table(runs)
    show()
    for each in runs:
        show(f"model      {each.file_name(folder)}")
    if drawing:
        _save_curves(runs, examples, curves)
        show(f"curve      {curves}")
    if drawing and hasattr(shown.model.decoder, "attention"):
        heat_map = folder / f"{task.name}-attention.png"
        _save_attention(shown, examples, heat_map)
        show(f"attention  {heat_map}")
    return EXIT_OK


def _check_options(arguments: argparse.Namespace) -> None:
    """End as wrong usage where the pairs do not suffice; set the threads."""
    held_out = arguments.count // 10
    if held_out < 1 or arguments.count - held_out < arguments.batch_size:
        arguments.usage_error(
            f"-n {arguments.count} is too few: it must hold out one in ten, and the others must "
            f"fill a batch of {arguments.batch_size} (--batch-size)"
        )
    if arguments.threads is not None:
        import fastseq

        fastseq.set_num_threads(arguments.threads)


def _can_draw() -> bool:
    from fastseq import plot

    try:
        plot.require_matplotlib()
    except ImportError as error:
        say(f"there will be no pictures: {error}")
        return False
    return True


def _make_examples(file_name: Path, arguments: argparse.Namespace) -> Examples:
    """Generate the pairs, write them in the textbook's format, and load them as its scripts do."""
    import numpy as np

    from fastseq.data import addition, dates, sequence
    from fastseq.files import replace_file

    task: Any = {"addition": addition, "dates": dates}[arguments.task.name]
    pairs = task.generate(arguments.count, arguments.seed)
    lines = sequence.textbook_lines(pairs, task.QUESTION_WIDTH, task.ANSWER_WIDTH)
    replace_file(str(file_name), "".join(f"{line}\n" for line in lines).encode())

    train, test = sequence.load_data(file_name, seed=TEXTBOOK_SEED + arguments.seed)
    _, symbols = sequence.get_vocab()
    noun = arguments.task.noun
    show(f"{len(pairs):,} {noun} in {file_name}, {len(test[0]):,} of them held out")
    return Examples(noun, *train, *test, symbols, np.random.get_state())


def _start(recipe: Recipe, examples: Examples, arguments: argparse.Namespace) -> Run:
    """Draw the weights of a new model."""
    import numpy as np

    from fastseq import _kernels, models

    # Every model starts where a script of the textbook would be, after it has loaded the data.
    np.random.set_state(examples.random_state)
    sizes = (len(examples.symbols), arguments.embedding_size, arguments.hidden_size)
    model = getattr(models, recipe.model)(*sizes)
    weights = sum(param.size for param in model.params)
    threads = _kernels.get_num_threads()
    show(
        f"\n{recipe.label}: {recipe.model}, {sizes[0]} symbols, embedding {sizes[1]}, "
        f"hidden {sizes[2]}, {weights:,} weights; batch {arguments.batch_size}, "
        f"{threads} thread{'s' * (threads != 1)}, {_kernels.isa()}",
    )
    return Run(recipe, model)


def _train(run: Run, examples: Examples, arguments: argparse.Namespace) -> None:
    """Train until the model is good enough or the epochs are over; print a line for each."""
    from fastseq.optim import Adam
    from fastseq.train import exact_match, shuffled, train_epoch

    optimizer = Adam(lr=arguments.learning_rate)
    x, t = run.questions(examples.x_train), examples.t_train
    for epoch in range(1, arguments.epochs + 1):
        start = time.perf_counter()
        x, t = shuffled(x, t)
        with _progress_bar(f"epoch {epoch:2}", len(x), arguments.batch_size) as on_step:
            loss = train_epoch(
                run.model,
                optimizer,
                x,
                t,
                arguments.batch_size,
                MAX_GRAD,
                epoch=epoch,
                on_step=on_step,
            )
        seconds = time.perf_counter() - start
        accuracy = exact_match(run.model, run.questions(examples.x_test), examples.t_test)
        run.accuracies.append(accuracy)
        run.seconds += seconds
        show(
            f"epoch {epoch:2}   loss {loss:7.4f}   accuracy {100 * accuracy:6.2f} %   "
            f"{seconds:6.1f} s   {len(x) / seconds:7,.0f} examples/s",
        )
        if accuracy >= GOOD_ENOUGH:
            break


@contextmanager
def _progress_bar(label: str, examples: int, batch_size: int) -> Iterator[OnStep | None]:
    """A bar with loss and speed, on a terminal only; yields what to call after each step."""
    from tqdm import tqdm

    total = examples - examples % batch_size
    size = shutil.get_terminal_size()  # never 0 by 0, where tqdm would show nothing
    with tqdm(
        total=total,
        desc=label,
        unit=" examples",
        unit_scale=True,
        leave=False,
        disable=None,
        ncols=min(size.columns, 100),
        nrows=size.lines,
    ) as bar:

        def on_step(step: int, steps: int, loss: float) -> None:
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update(batch_size)

        yield None if bar.disable else on_step


def _save_model(run: Run, folder: Path) -> Path:
    file_name = run.file_name(folder)
    run.model.save_params(file_name)
    return file_name


def _save_curves(runs: Sequence[Run], examples: Examples, file_name: Path) -> None:
    from fastseq import plot

    series = {run.recipe.label: run.accuracies for run in runs if run.accuracies}
    title = f"Accuracy on {len(examples.x_test):,} held-out {examples.noun}"
    plot.save(plot.accuracy_curve(series, title=title), file_name)


def _save_attention(run: Run, examples: Examples, file_name: Path) -> None:
    """Draw where the model looked while it wrote one held-out date."""
    import numpy as np

    from fastseq import plot

    x, t, right = _answer(run, examples, 200)[:3]
    named = [any(symbol.isalpha() for symbol in examples.text(question)) for question in x]
    chosen = int(np.argmax(2 * right + named))  # a right answer first of all, then a month's name
    x, t = x[chosen : chosen + 1], t[chosen : chosen + 1]

    model: Any = run.model
    model.forward(run.questions(x), t)
    weights = run.questions(np.array(model.decoder.attention.attention_weights)[:, 0, :])
    question, answer = examples.text(x[0]), examples.text(t[0, 1:])
    title = plot.answer_title(question, answer)
    axes = plot.attention_map(weights, question, answer, title=title)
    plot.save(axes, file_name)


def _answer(run: Run, examples: Examples, count: int) -> tuple[IdArray, IdArray, Any, IdArray]:
    """The first held-out questions and answers, whether the model is right, and its guesses."""
    x, t = examples.x_test[:count], examples.t_test[:count]
    guesses = run.model.generate_batch(run.questions(x), int(t[0, 0]), t.shape[1] - 1)
    return x, t, (guesses == t[:, 1:]).all(axis=1), guesses


def _print_samples(run: Run, examples: Examples) -> None:
    import sys

    from fastseq.util import answer_mark

    color = sys.stdout.isatty()
    show(f"\nheld-out examples, answered by {run.recipe.label}:")
    for question, truth, right, guess in zip(*_answer(run, examples, SAMPLES), strict=True):
        correction = "" if right else f"   (right: {examples.text(truth[1:]).rstrip()})"
        show(
            f"  {answer_mark(right, color)} {examples.text(question)} → "
            f"{examples.text(guess).rstrip()}{correction}"
        )


def _print_table(runs: Sequence[Run]) -> None:
    width = max(len(run.recipe.label) for run in runs)
    show(f"\n{'model':{width}}   accuracy   best epoch   epochs   training")
    for run in runs:
        show(
            f"{run.recipe.label:{width}}   {100 * run.accuracies[-1]:6.2f} %   "
            f"{100 * max(run.accuracies):8.2f} %   {len(run.accuracies):6}   {run.seconds:6.1f} s"
        )
