"""Scripts as a reader of the textbook writes them, and the folder that they lie in."""

from collections.abc import Mapping
from pathlib import Path

from fastseq.data import addition, sequence

TRAIN = """\
import sys
sys.path.append('..')
import numpy as np
from dataset import sequence
from common.optimizer import Adam
from common.trainer import Trainer
from common.util import eval_seq2seq
from seq2seq import Seq2seq
from peeky_seq2seq import PeekySeq2seq

(x_train, t_train), (x_test, t_test) = sequence.load_data('addition.txt')
char_to_id, id_to_char = sequence.get_vocab()
x_train, x_test = x_train[:, ::-1], x_test[:, ::-1]

model = Seq2seq(len(char_to_id), 4, 8)
trainer = Trainer(model, Adam())
trainer.fit(x_train, t_train, max_epoch=1, batch_size=16, max_grad=5.0)
correct = sum(eval_seq2seq(model, x_test[[i]], t_test[[i]], id_to_char, is_reverse=True)
              for i in range(3))
print('loss', [float(loss) for loss in trainer.loss_list], len(x_train), correct <= 3)
"""

OWN_MODEL = """\
import sys
sys.path.append('..')
from common.time_layers import *
from common.base_model import BaseModel
from common.optimizer import Adam
from ch08.attention_layer import TimeAttention

class OwnEncoder:
    def __init__(self, V, D, H):
        rn = np.random.randn
        self.embed = TimeEmbedding((rn(V, D) / 100).astype('f'))
        self.lstm = TimeLSTM((rn(D, 4 * H) / np.sqrt(D)).astype('f'),
                             (rn(H, 4 * H) / np.sqrt(H)).astype('f'),
                             np.zeros(4 * H).astype('f'), stateful=False)
        self.params = self.embed.params + self.lstm.params
        self.grads = self.embed.grads + self.lstm.grads

    def forward(self, xs):
        return self.lstm.forward(self.embed.forward(xs))

    def backward(self, dhs):
        return self.embed.backward(self.lstm.backward(dhs))

class OwnModel(BaseModel):
    def __init__(self, V, D, H):
        rn = np.random.randn
        self.encoder = OwnEncoder(V, D, H)
        self.embed = TimeEmbedding((rn(V, D) / 100).astype('f'))
        self.lstm = TimeLSTM((rn(D, 4 * H) / np.sqrt(D)).astype('f'),
                             (rn(H, 4 * H) / np.sqrt(H)).astype('f'),
                             np.zeros(4 * H).astype('f'), stateful=True)
        self.attention = TimeAttention()
        self.affine = TimeAffine((rn(2 * H, V) / np.sqrt(2 * H)).astype('f'),
                                 np.zeros(V).astype('f'))
        self.softmax = TimeSoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in (self.encoder, self.embed, self.lstm, self.attention, self.affine):
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, ts):
        hs = self.encoder.forward(xs)
        self.lstm.set_state(hs[:, -1])
        dec_hs = self.lstm.forward(self.embed.forward(ts[:, :-1]))
        c = self.attention.forward(hs, dec_hs)
        score = self.affine.forward(np.concatenate((c, dec_hs), axis=2))
        return self.softmax.forward(score, ts[:, 1:])

    def backward(self, dout=1):
        dout = self.affine.backward(self.softmax.backward(dout))
        H = dout.shape[2] // 2
        dhs, d = self.attention.backward(dout[:, :, :H])
        self.embed.backward(self.lstm.backward(dout[:, :, H:] + d))
        dhs[:, -1] += self.lstm.dh
        self.encoder.backward(dhs)

np.random.seed(0)
model, optimizer = OwnModel(11, 5, 9), Adam(0.01)
xs, ts = np.random.randint(0, 11, (8, 6)), np.random.randint(0, 11, (8, 4))
losses = []
for _ in range(100):
    losses.append(float(model.forward(xs, ts)))
    model.backward()
    optimizer.update(model.params, model.grads)
print(*losses)
"""

LANGUAGE_MODEL = """\
import sys
sys.path.append('..')
from common.np import *
from common import config
from common.optimizer import SGD
from common.trainer import RnnlmTrainer
from common.util import eval_perplexity, preprocess, to_gpu
from better_rnnlm import BetterRnnlm
from rnnlm import Rnnlm
from ch07.rnnlm_gen import RnnlmGen

np.random.seed(0)
corpus, word_to_id, id_to_word = preprocess('you say goodbye and i say hello. ' * 60)
if config.GPU:
    corpus = to_gpu(corpus)
for Model, lr in (Rnnlm, 5.0), (BetterRnnlm, 2.0):
    model = Model(len(word_to_id), 16, 16)
    trainer = RnnlmTrainer(model, SGD(lr))
    trainer.fit(corpus[:-1], corpus[1:], max_epoch=8, batch_size=4, time_size=5, max_grad=0.5,
                eval_interval=None)
    model.reset_state()
    print('perplexity', eval_perplexity(model, corpus, 4, 5))
    model.save_params('model.pkl')
    if Model is Rnnlm:
        generator = RnnlmGen(len(word_to_id), 16, 16)
        generator.load_params('model.pkl')
        print(*[id_to_word[i] for i in generator.generate(word_to_id['goodbye'], None, 8)])
print(np.shares_memory(model.params[0], model.params[-2]))
"""


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, by their paths in the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def sums(count: int, seed: int = 0) -> str:
    """A data file in the textbook's format."""
    pairs = addition.generate(count, seed)
    lines = sequence.textbook_lines(pairs, addition.QUESTION_WIDTH, addition.ANSWER_WIDTH)
    return "".join(f"{line}\n" for line in lines)


def write_tree(folder: Path) -> Path:
    """Lay a folder out as the textbook's: served files that must not be read, data, two scripts."""
    broken = "raise ImportError('the served module stands before this file')\n"
    write(
        folder,
        {
            "common/__init__.py": "",
            "common/time_layers.py": broken,
            "dataset/__init__.py": "",
            "dataset/sequence.py": broken,
            "dataset/addition.txt": sums(200),
            "ch07/seq2seq.py": broken,
            "ch07/train.py": TRAIN,
            "ch08/own_model.py": OWN_MODEL,
        },
    )
    return folder
