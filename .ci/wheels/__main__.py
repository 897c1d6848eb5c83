"""Builds, checks and tests the wheels of every platform, from the sdist and not from the checkout.

    python .ci/wheels build     dist/: the sdist, and a wheel for each CPython and platform
    python .ci/wheels check     the tags, symbols, contents and metadata of what is in dist/
    python .ci/wheels test      installs the wheels and runs the tests, without the source tree

Wheels are cross-compiled by Clang from the package ``ziglang``, which brings the C libraries of all
platforms in their versions: a wheel for glibc 2.17 can be made on a machine with a newer one. One
wheel serves one CPython; benchmarks/native/stable_abi.py measures why there is no wheel for the
stable ABI.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import building
import checking
import testing
from common import PLATFORMS, find_pythons


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python .ci/wheels",
        description="Build, check and test the wheels of every platform.",
        epilog="example: python .ci/wheels build --python 3.13 --platform manylinux_2_17_x86_64",
    )
    parser.add_argument("command", choices=("build", "check", "test"))
    parser.add_argument("--python", action="append", metavar="3.N", help="only these (default all)")
    parser.add_argument(
        "--platform",
        action="append",
        choices=[each.tag for each in PLATFORMS],
        help="only these (default all)",
    )
    options = parser.parse_args(arguments)
    pythons = {
        version: path
        for version, path in find_pythons().items()
        if not options.python or version in options.python
    }
    if not pythons:
        parser.error("no CPython 3.11 or newer was found on PATH or in ~/.pyenv/versions")
    platforms = [each for each in PLATFORMS if not options.platform or each.tag in options.platform]
    if options.command == "build":
        building.build(pythons, platforms)
    elif options.command == "check":
        checking.check()
    else:
        testing.test(pythons, platforms)


if __name__ == "__main__":
    main()
