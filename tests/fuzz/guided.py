"""Coverage-guided fuzzing of a reader: ``PYTHONPATH=.:tests python tests/fuzz/guided.py importer|parser SECONDS``.

Needs atheris (``pip install 'bitc[fuzz]'``). Begins with the tests' own small files and ends with an error on the first exception that is
no refusal; the bytes that caused it are left in the working directory as ``crash-*``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main(name: str, seconds: str) -> None:
    """Fuzz one reader for a time."""
    import atheris

    with atheris.instrument_imports(include=["bitc.frontend", "bitc.ir"]):
        from fuzz.readers import READERS, WORDS

    read, corpus = READERS[name]
    with tempfile.TemporaryDirectory(prefix="bitc-corpus-") as folder:
        for index, data in enumerate(corpus()):
            Path(folder, f"{index:03}").write_bytes(data)
        words = Path(folder, "words.dict")
        escaped = ["".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS]
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        options = [
            f"-max_total_time={seconds}",
            f"-dict={words}",
            "-max_len=20000",
            "-timeout=60",
            "-rss_limit_mb=4096",
        ]
        atheris.Setup([sys.argv[0], *options, folder], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
