"""A reader's tree with definitions of their own, and the fingerprints that make them untouched.

The code is in words of its own. A test takes its fingerprints for the textbook's, and then edits
one definition: the others are untouched copies.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from fastseq.dropin import fingerprints
from support.dropin.textbook import write

FILES = {
    "common/functions.py": """
from common.np import *

def sigmoid(x):
    return 1 / (1 + np.exp(-x))
""",
    "common/time_layers.py": """
from common.np import *
from common.layers import *
from common.functions import sigmoid

class LSTM:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(each) for each in self.params]

    def forward(self, x, h_prev, c_prev):
        Wx, Wh, b = self.params
        f, g, i, o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
        f, g, i, o = sigmoid(f), np.tanh(g), sigmoid(i), sigmoid(o)
        c = f * c_prev + g * i
        h = o * np.tanh(c)
        self.kept = x, h_prev, c_prev, f, g, i, o, c
        return h, c

    def backward(self, dh, dc):
        Wx, Wh, b = self.params
        x, h_prev, c_prev, f, g, i, o, c = self.kept
        t = np.tanh(c)
        dc = dc + dh * o * (1 - t ** 2)
        dA = np.hstack((dc * c_prev * f * (1 - f), dc * i * (1 - g ** 2),
                        dc * g * i * (1 - i), dh * t * o * (1 - o)))
        for grad, value in zip(self.grads, (x.T @ dA, h_prev.T @ dA, dA.sum(axis=0))):
            grad[...] = value
        return dA @ Wx.T, dA @ Wh.T, dc * f

class TimeLSTM:
    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(each) for each in self.params]
        self.stateful, self.h, self.c, self.dh = stateful, None, None, None

    def forward(self, xs):
        N, H = len(xs), len(self.params[1])
        if not self.stateful or self.h is None:
            self.h = np.zeros((N, H), 'f')
        if not self.stateful or self.c is None:
            self.c = np.zeros((N, H), 'f')
        self.steps, hs = [], []
        for t in range(xs.shape[1]):
            step = LSTM(*self.params)
            self.h, self.c = step.forward(xs[:, t], self.h, self.c)
            self.steps.append(step)
            hs.append(self.h)
        return np.stack(hs, axis=1)

    def backward(self, dhs):
        dxs, dh, dc = [], 0, 0
        for grad in self.grads:
            grad[...] = 0
        for t in reversed(range(dhs.shape[1])):
            dx, dh, dc = self.steps[t].backward(dhs[:, t] + dh, dc)
            dxs.insert(0, dx)
            for grad, more in zip(self.grads, self.steps[t].grads):
                grad += more
        self.dh = dh
        return np.stack(dxs, axis=1)

    def set_state(self, h, c=None):
        self.h, self.c = h, c

    def reset_state(self):
        self.h = self.c = None
""",
    "common/optimizer.py": """
import numpy as np

class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.count, self.m, self.v = 0, {}, {}

    def update(self, params, grads):
        self.count += 1
        lr = self.lr * (1 - self.beta2 ** self.count) ** 0.5 / (1 - self.beta1 ** self.count)
        for k, (p, g) in enumerate(zip(params, grads)):
            self.m[k] = self.beta1 * self.m.get(k, 0) + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v.get(k, 0) + (1 - self.beta2) * g ** 2
            p -= lr * self.m[k] / (np.sqrt(self.v[k]) + 1e-7)
""",
    "common/util.py": """
import numpy as np

def clip_grads(grads, max_norm):
    norm = np.sqrt(sum((grad ** 2).sum() for grad in grads))
    for grad in grads:
        grad *= min(1, max_norm / (norm + 1e-6))
""",
    "common/trainer.py": """
import numpy as np
from common.util import clip_grads

class Trainer:
    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.loss_list = model, optimizer, []

    def fit(self, x, t, max_epoch=10, batch_size=32, max_grad=None, eval_interval=20):
        for epoch in range(max_epoch):
            for first in range(0, len(x), batch_size):
                batch = slice(first, first + batch_size)
                self.loss_list.append(float(self.model.forward(x[batch], t[batch])))
                self.model.backward()
                if max_grad is not None:
                    clip_grads(self.model.grads, max_grad)
                self.optimizer.update(self.model.params, self.model.grads)
""",
    "ch07/seq2seq.py": """
import sys
sys.path.append('..')
from common.time_layers import *
from common.base_model import BaseModel

class Encoder:
    def __init__(self, vocab_size, wordvec_size, hidden_size):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn
        self.embed = TimeEmbedding((rn(V, D) / 100).astype('f'))
        self.lstm = TimeLSTM((rn(D, 4 * H) / np.sqrt(D)).astype('f'),
                             (rn(H, 4 * H) / np.sqrt(H)).astype('f'), np.zeros(4 * H, 'f'))
        self.params = self.embed.params + self.lstm.params
        self.grads = self.embed.grads + self.lstm.grads

    def forward(self, xs):
        self.hs = self.lstm.forward(self.embed.forward(xs))
        return self.hs[:, -1]

    def backward(self, dh):
        dhs = np.zeros_like(self.hs)
        dhs[:, -1] = dh
        return self.embed.backward(self.lstm.backward(dhs))

class Seq2seq(BaseModel):
    def __init__(self, vocab_size, wordvec_size, hidden_size):
        self.encoder = Encoder(vocab_size, wordvec_size, hidden_size)
        self.decoder = Decoder(vocab_size, wordvec_size, hidden_size)
        self.softmax = TimeSoftmaxWithLoss()
        self.params = self.encoder.params + self.decoder.params
        self.grads = self.encoder.grads + self.decoder.grads

    def forward(self, xs, ts):
        score = self.decoder.forward(ts[:, :-1], self.encoder.forward(xs))
        return self.softmax.forward(score, ts[:, 1:])

    def backward(self, dout=1):
        return self.encoder.backward(self.decoder.backward(self.softmax.backward(dout)))
""",
    # Decoder is not here: a reader who has no definition of it is served fastseq's
    "ch07/script.py": """
import sys
sys.path.append('..')
from common.functions import *
from common.time_layers import *
from common.optimizer import *
from common.trainer import Trainer
from common.util import clip_grads
from seq2seq import Encoder, Decoder, Seq2seq

for each in (sigmoid, LSTM, TimeLSTM, TimeGRU, Adam, SGD, clip_grads, Trainer, Encoder, Decoder,
             Seq2seq):
    print(each.__name__, each.__module__)
np.random.seed(0)
model = Seq2seq(7, 5, 6)
trainer = Trainer(model, Adam())
trainer.fit(np.ones((8, 4), int), np.ones((8, 3), int), 2, 4, 5.0, 1)
print(type(model.encoder).__module__, type(model.encoder.lstm).__module__)
print(*map(float, trainer.loss_list))
""",
}


def write_own_tree(folder: Path, edited: Mapping[str, str] | None = None) -> Path:
    """Write the tree, with code of a test at the beginning of some definitions' bodies."""
    files = {}
    for path, text in FILES.items():
        for name, code in (edited or {}).items():
            head = re.search(rf"^(class|def) {name}\b.*:\n", text, re.MULTILINE)
            if head is not None:
                text = f"{text[: head.end()]}    {code}\n{text[head.end() :]}"
        files[path] = text
    write(folder, {"common/__init__.py": "", **files})
    return folder


def own_fingerprints() -> dict[str, dict[str, list[str]]]:
    """The table in which every definition of the tree is the textbook's."""
    table: dict[str, dict[str, list[str]]] = {}
    for name, text in FILES.items():
        module = fingerprints.bare(name.removesuffix(".py").replace("/", "."))
        lines = text.split("\n")
        for node in ast.parse(text).body:
            if isinstance(node, fingerprints.Definition):
                source = fingerprints.source_of(lines, node)
                table.setdefault(module, {})[node.name] = [fingerprints.fingerprint(source)]
    return table
