"""The programs that stand beside exported graphs: they need onnxruntime and NumPy alone."""


def _program(usage: str, graph: str, body: str, *imported: str) -> str:
    imports = "".join(f"import {module}\n" for module in (*imported, "sys"))
    return f'''\
"""{usage}"""

{imports}from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(__file__).parent
session = onnxruntime.InferenceSession(folder / "{graph}")
{body}'''


TRANSDUCER = _program(
    "Print the answer to each text, or to each line of standard input: python run.py TEXT ...",
    "greedy.onnx",
    """\
model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
source, target, special = model["source"], model["target"], model["special_ids"]
for stream in (sys.stdin, sys.stdout):
    stream.reconfigure(encoding="utf-8")

for text in sys.argv[1:] or sys.stdin:
    text = text.removesuffix("\\n")
    text, *columns = text.split("\\t") if "tags" in source else [text]
    text = text.lower() if "lowercase" in source else text
    text = unicodedata.normalize(source["normalize"], text) if "normalize" in source else text
    symbols = list(text) if source["form"] == "char" else text.split()
    ids = [source["ids"].get(symbol, special["unknown"]) for symbol in symbols]
    for known, column in zip(source.get("tags", []), columns):
        tags = [tag for tag in re.split(source["tag_pattern"], column) if tag]
        ids += [known.get(tag, special["unknown"]) for tag in tags]
    ids.append(special["end"])
    inputs = {"ids": np.array([ids], np.int64), "lengths": np.array([len(ids)], np.int64)}
    [answer], [length], _ = session.run(None, inputs)
    separator = "" if target["form"] == "char" else " "
    answer = separator.join(target["symbols"][id] for id in answer[:length])
    print(unicodedata.normalize("NFC", answer) if "compose" in target else answer)
""",
    "json",
    "re",
    "unicodedata",
)

SEQUENCES = _program(
    'Print greedy answers as ids: python run.py START_ID SAMPLE_SIZE "3 1 4" "1 5 9" ...',
    "greedy.onnx",
    """
start_id, sample_size, *sources = sys.argv[1:]
inputs = {
    "ids": np.array([source.split() for source in sources], np.int64),
    "start_id": np.array(start_id, np.int64),
    "sample_size": np.array(sample_size, np.int64),
}
[answers] = session.run(None, inputs)
for answer in answers:
    print(*answer)
""",
)

LANGUAGE_MODEL = _program(
    "Print ids, each drawn with its probability: python run.py START_ID SAMPLE_SIZE",
    "step.onnx",
    """
ids, sample_size = [int(sys.argv[1])], int(sys.argv[2])
state = {
    each.name: np.zeros([each.shape[0], 1, each.shape[2]], np.float32)
    for each in session.get_inputs()[1:]
}
while len(ids) < sample_size:
    scores, *states = session.run(None, {"id": np.array(ids[-1:], np.int64)} | state)
    state = dict(zip(state, states))
    odds = np.exp(scores[0].astype(np.float64) - scores.max())
    ids.append(np.random.choice(len(odds), p=odds / odds.sum()))
print(*ids)
""",
)
