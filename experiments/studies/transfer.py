"""Transfer from dreams to the real environment: searches in dreams at several temperatures, from several seeds.

    python experiments/studies/transfer.py --folder train/seed0/dream1
    python experiments/studies/transfer.py --env_name doom_take_cover --folder games/doom_take_cover/seed0/round2 \\
        --temperatures 0.1 0.5 1 1.15 1.3 --seeds 1 --record doom_temperature

FOLDER holds the files of stages 01 to 04. Each search runs in dreams alone, in FOLDER/transfer/TEMPERATURE.SEED, and
its mean is evaluated in dreams and in the real environment. Running the command again resumes it. Writes
FOLDER/transfer/TRANSFER.md and transfer.png, and with --record also docs/results/NAME.json.
"""

import argparse
import shlex
import sys
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from controller.evaluations import EVALUATION
from experiments.plots.canvas import new_figure, save_figure
from experiments.plots.controller import read_rows
from experiments.results import record, result_name, shown
from experiments.studies import study
from pipeline.errors import UserError
from pipeline.files import write_text

Curve = list[tuple[dict, dict]]  # evaluations of one generation: in dreams, in the real environment


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_search_arguments(parser, 15, "-n 16 -t 4 -e 2 --eval_steps 3")
    temperatures = [0.7, 1.0, 1.3]
    parser.add_argument(
        "--temperatures", type=cli.positive_float, nargs="+", default=temperatures, help="temperatures of the dreams"
    )
    parser.add_argument("--seeds", type=cli.seed, nargs="+", default=[1, 2], help="run seeds of the searches")
    parser.add_argument("--env_name", default="car_racing", help="environment of FOLDER")
    parser.add_argument("--record", type=result_name, metavar="NAME", help="write docs/results/NAME.json")
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    return args


def search_in_dreams(temperature: float, seed: int, args: argparse.Namespace) -> Curve:
    """Search in dreams of one temperature, and read its evaluations in dreams and in the real environment."""
    folder = args.folder / "transfer" / f"{temperature:g}.{seed}"
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR, config.RNN_DIR)
    print(f"--- temperature {temperature:g}, seed {seed}", flush=True)
    flags = f"{args.search} --dream_mode --temperature {temperature:g} --generations {args.generations}"
    study.run(folder, f"05_train_controller.py {args.env_name} {flags} -s {seed}")
    dream, real = (list((folder / config.LOG_DIR).glob(f"*.{log}.json")) for log in ("dream_log", "log"))
    if len(dream) != 1:
        raise UserError(f"{folder / config.LOG_DIR} holds {len(dream)} searches, not one")
    return list(zip(read_rows(dream[0], EVALUATION), read_rows(real[0], EVALUATION), strict=True))


def table(curves: dict[tuple[float, int], Curve]) -> str:
    """A row per search: scores in dreams and in the real environment by generation."""
    generations = [dream["generation"] for dream, _ in next(iter(curves.values()))]
    head = ["temperature", "seed", *(f"generation {generation}" for generation in generations)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (temperature, seed), curve in curves.items():
        cells = (f"{dream['mean']:.0f} dream, {real['mean']:.0f} ± {real['std']:.0f} real" for dream, real in curve)
        lines.append(f"| {temperature:g} | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(curves: dict[tuple[float, int], Curve], path: Path) -> None:
    """A panel per temperature: scores in dreams dashed, in the real environment solid, a color per seed."""
    means = [row["mean"] for curve in curves.values() for rows in curve for row in rows]
    limits = min(-100.0, *means), max(1050.0, *means)  # of a car's scores, if no others are there
    temperatures = sorted({temperature for temperature, _ in curves})
    figure, all_axes = new_figure(4 * len(temperatures), 4, 1, len(temperatures))
    all_axes = np.atleast_1d(all_axes)
    for axes, temperature in zip(all_axes, temperatures, strict=True):
        for i, ((_, seed), curve) in enumerate(item for item in curves.items() if item[0][0] == temperature):
            for line, label, rows in zip(("--", "-"), ("dream", "real"), zip(*curve, strict=True), strict=True):
                points = [row["generation"] for row in rows], [row["mean"] for row in rows]
                axes.plot(*points, line, color=f"C{i}", label=f"{label}, seed {seed}")
        axes.set(xlabel="generation", ylabel="score of the mean", ylim=limits)
        axes.set_title(f"temperature {temperature:g}")
        axes.grid(alpha=0.3)
    figure.legend(*all_axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2 * len(temperatures))
    save_figure(figure, path)


def main() -> None:
    args = parse_args()
    curves = {(t, seed): search_in_dreams(t, seed, args) for t in sorted(args.temperatures) for seed in args.seeds}
    draw(curves, args.folder / "transfer" / "transfer.png")
    write_text(args.folder / "transfer" / "TRANSFER.md", table(curves))
    if args.record:
        keys = ("temperature", "seed", "dream", "real")
        rows = [dict(zip(keys, (*search, *zip(*curve, strict=True)), strict=True)) for search, curve in curves.items()]
        flags = [shown(args.folder) if word == str(args.folder) else word for word in sys.argv[1:]]
        record(args.record, shlex.join(["python", shown(Path(sys.argv[0])), *flags]), searches=rows)
    print(table(curves))


if __name__ == "__main__":
    cli.run(main)
