"""``bitc run``: call a built network on arrays from files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitc.cli.console import out
from bitc.cli.options import pairs
from bitc.errors import Diagnostic, OptionError

if TYPE_CHECKING:
    import numpy as np

    from bitc.session import Session


def run_command(
    network: Annotated[
        Path, typer.Argument(metavar="DIR", help="An artefact folder, or the library in it.", show_default=False)
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="X=@FILE", help="A .npy, or FILE.npz:KEY. Repeatable.", show_default=False
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="How many share the call; 0 for all it was compiled for.")
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the outputs: .npz, or .npy if there is one.", show_default=False),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="FILE.npz",
            help="Run a step: from the state in this file, or the initial one where there is none; the next is written to it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a compiled network once and print, or store, what it gives."""
    from bitc.session import load

    session = load(network, threads)
    feeds = pairs("--input", inputs, read_array)
    named = (
        dict(zip((arg.name for arg in session.get_outputs()), session.run(None, feeds), strict=True))
        if state is None
        else _step(session, feeds, state)
    )
    if output is not None:
        write_arrays(output, named)
        return
    for name, array in named.items():
        out().print(f"{name}: {array.dtype}[{','.join(map(str, array.shape))}]\n{array}", markup=False)


def _step(session: Session, feeds: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """The outputs of a step by name; the state is read from ``path``, if that is there, and written to it."""
    from bitc.arrays import load_arrays
    from bitc.golden import save_arrays

    state = session.new_state()
    if path.exists():
        state.load(load_arrays(path))
    arrays = session.step(feeds, state)
    save_arrays(path, state.arrays())
    carried = {arg.output for arg in session.get_states()}
    return dict(zip((arg.name for arg in session.get_outputs() if arg.name not in carried), arrays, strict=True))


def read_array(text: str) -> np.ndarray:
    """``@a.npy`` or ``@a.npz:key``. Raises :class:`OptionError`."""
    import numpy as np

    from bitc.arrays import load_arrays

    if not text.startswith("@"):
        raise OptionError(
            Diagnostic("O082", f"cannot read the array {text!r}", hint="write @file.npy or @file.npz:key")
        )
    path, colon, key = text[1:].rpartition(".npz:")
    if colon:
        arrays = load_arrays(Path(f"{path}.npz"))
        if key not in arrays:
            raise OptionError(
                Diagnostic("O082", f"{path}.npz has no array {key!r}", hint="it has: " + ", ".join(arrays))
            )
        return arrays[key]
    try:
        array = np.load(text[1:], allow_pickle=False)
    except (OSError, ValueError) as error:
        raise OptionError(Diagnostic("O082", f"cannot read the array {text[1:]}", here=str(error))) from error
    if not isinstance(array, np.ndarray):
        raise OptionError(Diagnostic("O082", f"{text[1:]} holds several arrays", hint=f"choose one: {text}:KEY"))
    return array


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """All ``arrays`` as ``.npz``, or the only one as ``.npy``. Raises :class:`OptionError`."""
    import numpy as np

    from bitc.folders import write_output
    from bitc.golden import save_arrays

    match path.suffix:
        case ".npz":
            save_arrays(path, arrays)
        case ".npy" if len(arrays) == 1:
            content = BytesIO()
            np.save(content, next(iter(arrays.values())))
            write_output(path, content.getvalue())
        case _:
            hint = "use .npz" + (", or .npy for a single output" if len(arrays) == 1 else "")
            raise OptionError(Diagnostic("O083", f"cannot write the outputs as {path.name}", hint=hint))
