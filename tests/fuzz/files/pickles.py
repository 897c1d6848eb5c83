"""Pickles: changed instructions, and instructions that no list of arrays needs.

What would run is `canary`, a name that nothing else has: `judge.py` looks for it.
"""

import pickletools
import random

CANARY = "canary"
# Instructions with their arguments; what they do to the stack may be wrong.
HOSTILE = [
    *(b"ccanary\nrun\n", b"cbuiltins\neval\n", b"cos\nsystem\n", b"(S'canary'\niposix\nsystem\n"),
    *(b"cnumpy\nload\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n"),
    *(b"c_codecs\nencode\n", b"cnumpy.core.numeric\n_frombuffer\n", b"ccollections\nOrderedDict\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"cbuiltins\ngetattr\n"),
    *(
        b"X\x06\x00\x00\x00canary\x85R",
        b"(X\x06\x00\x00\x00canarytR",
        b"\x8c\x02os\x8c\x06system\x93",
    ),
    *(b")R", b")\x81", b"}b", b"Nb", b"(o", b"(io\n\n", b"\x82\x01", b"Pcanary\n", b"Q", b"0"),
    *(b"2", b"2\x86", b"2\x86" * 40, b"2\x87" * 30, b"}2Ns", b"]2a", b"(d", b"(l", b"(t", b"("),
    *(b"]q\x00h\x00a", b"}q\x00h\x00h\x00s", b"e", b"a", b"u", b"s", b"\x8f", b"(\x90", b"(\x91"),
    *(b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"p999999999999\n", b"g5\n", b"h\x05", b"\x94"),
    *(b"\x8b\xff\xff\xff\x7f", b"\x8a\xff" + b"\xff" * 255, b"L" + b"9" * 5000 + b"L\n"),
    *(
        b"I" + b"9" * 5000 + b"\n",
        b"X\xff\xff\xff\xff",
        b"\x8d" + b"\xff" * 8,
        b"\x8e" + b"\xff" * 8,
    ),
    *(
        b"\x96\xff\xff\xff\xff\x00\x00\x00\x00",
        b"\x95" + b"\xff" * 8,
        b"\x80\xff",
        b"\x97",
        b"\x98",
    ),
    *(b"G" + b"\xff" * 8, b"Fnan\n", b"F1e999\n", b"N", b"\x88", b"K\x05", b")", b"]", b"}", b"."),
    *(
        b"V\\ud800\n",
        b"S'a'\n",
        b'S"a\n',
        b"T\xff\xff\xff\x7f",
        b"\x80\x04",
        b"(" * 5000,
        b"]" * 5000,
    ),
]


def parts(content: bytes) -> list[bytes]:
    """The instructions of a pickle, each with its argument."""
    starts = [position for _, _, position in pickletools.genops(content) if position is not None]
    ends = [*starts[1:], len(content)]
    return [content[start:end] for start, end in zip(starts, ends, strict=True)]


def changed_pickle(rng: random.Random, content: bytes) -> bytes:
    """A pickle with other instructions."""
    listed = parts(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(listed))
        match rng.randrange(6):
            case 0 | 1:
                listed.insert(at, rng.choice(HOSTILE))
            case 2:
                listed[at] = rng.choice(HOSTILE)
            case 3:
                del listed[at : at + rng.choice((1, 1, 2))]
            case 4:
                listed.insert(at, rng.choice(listed))
            case 5:
                other = rng.randrange(len(listed))
                listed[at], listed[other] = listed[other], listed[at]
        listed = listed or [b"."]
    return b"".join(listed)


def hostile_pickle(rng: random.Random, content: bytes) -> bytes:
    """A pickle of hostile instructions alone."""
    many = rng.choice((1, 3, 10, 40))
    return b"\x80\x04" + b"".join(rng.choices(HOSTILE, k=many)) + b"."
