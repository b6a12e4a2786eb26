"""Does what is learned in dreams hold on the road? The same search at several temperatures, from several seeds.

    python experiments/studies/transfer.py --folder FOLDER       # one that the stages 01 to 04 have run in

Each searches in dreams alone, in FOLDER/transfer/TEMPERATURE.SEED; its mean is scored in dreams and on the road as the
search goes on. A study that was stopped goes on where it was. Writes FOLDER/transfer/TRANSFER.md and transfer.png.
"""

import argparse
from pathlib import Path

import numpy as np

import config
from experiments.plots.canvas import new_figure, save_figure
from experiments.plots.controller import read_rows
from experiments.studies import study
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import atomic_write

COLUMNS = ("generation", "mean", "std", "min")
Curve = list[tuple[dict, dict]]  # an evaluation in dreams, and the one on the road


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="holds data/, vae/ and rnn/")
    parser.add_argument("--temperatures", type=cli.positive_float, nargs="+", default=[0.7, 1.0, 1.3])
    parser.add_argument("--seeds", type=cli.seed, nargs="+", default=[1, 2], help="of the searches")
    parser.add_argument("--generations", type=cli.positive_int, default=15, help="generations of each search")
    search = "-n 16 -t 4 -e 2 --eval_steps 3"
    parser.add_argument("--search", default=search, help="flags of stage 05 for every search")
    return parser.parse_args()


def dream(temperature: float, seed: int, args: argparse.Namespace) -> Curve:
    """Search in dreams of one temperature, and read what the road said of it."""
    folder = args.folder / "transfer" / f"{temperature:g}.{seed}"
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR, config.RNN_DIR)
    print(f"--- temperature {temperature:g}, seed {seed}", flush=True)
    flags = f"{args.search} --dream_mode --temperature {temperature:g} --generations {args.generations}"
    study.run(folder, f"05_train_controller.py car_racing {flags} -s {seed}")
    dreamt, driven = (list((folder / config.LOG_DIR).glob(f"*.{log}.json")) for log in ("dream_log", "log"))
    if len(dreamt) != 1:
        raise UserError(f"{folder / config.LOG_DIR} holds {len(dreamt)} searches, not one")
    return list(zip(read_rows(dreamt[0], COLUMNS), read_rows(driven[0], COLUMNS), strict=True))


def table(curves: dict[tuple[float, int], Curve]) -> str:
    """Dreamt and real scores by generation, and a line for each search."""
    generations = [dreamt["generation"] for dreamt, _ in next(iter(curves.values()))]
    head = ["temperature", "seed", *(f"generation {generation}" for generation in generations)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (temperature, seed), curve in curves.items():
        cells = (f"{dreamt['mean']:.0f} dreamt, {driven['mean']:.0f} ± {driven['std']:.0f}" for dreamt, driven in curve)
        lines.append(f"| {temperature:g} | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(curves: dict[tuple[float, int], Curve], path: Path) -> None:
    """A panel for each temperature: dashed what was dreamt, solid what the road gave, a colour for each seed."""
    temperatures = sorted({temperature for temperature, _ in curves})
    figure, all_axes = new_figure(4 * len(temperatures), 4, 1, len(temperatures))
    all_axes = np.atleast_1d(all_axes)
    for axes, temperature in zip(all_axes, temperatures, strict=True):
        for i, ((_, seed), curve) in enumerate(item for item in curves.items() if item[0][0] == temperature):
            for line, label, rows in zip(("--", "-"), ("dreams", "road"), zip(*curve, strict=True), strict=True):
                points = [row["generation"] for row in rows], [row["mean"] for row in rows]
                axes.plot(*points, line, color=f"C{i}", label=f"{label}, seed {seed}")
        axes.set(xlabel="generation", ylabel="score of the mean", ylim=(-100, 1050))
        axes.set_title(f"temperature {temperature:g}")
        axes.grid(alpha=0.3)
    figure.legend(*all_axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2 * len(temperatures))
    save_figure(figure, path)


def main() -> None:
    args = parse_args()
    curves = {(heat, seed): dream(heat, seed, args) for heat in sorted(args.temperatures) for seed in args.seeds}
    draw(curves, args.folder / "transfer" / "transfer.png")
    with atomic_write(args.folder / "transfer" / "TRANSFER.md") as part:
        part.write_text(table(curves))
    print(table(curves))


if __name__ == "__main__":
    cli.run(main)
