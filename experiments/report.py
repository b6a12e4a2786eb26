"""Figures of every stage's output, and the agent's scores beside those of a random and an untrained one.

    python experiments/report.py all car_racing --filename controller/car_racing.cma.2.64.best.json
    python experiments/report.py data                      # sample frames with actions and rewards
    python experiments/report.py vae                       # losses, reconstructions, informative latents, traversals
    python experiments/report.py rnn                       # losses; the next z and reward, predicted and observed
    python experiments/report.py controller                # score of each track, a video, learning curve, weights
    python experiments/report.py controller --draw_only    # the same from the logs and the last scores, in seconds
    python experiments/report.py dream                     # a dream beside the real episode; errors; calibration
    python experiments/report.py browser                   # report/dream.html: drive in the dream, in a browser

Writes PNGs, mp4s and scores.json into report/. `all` also writes report/index.html, one file that holds everything
and can be sent. Three agents are scored on the same unseen tracks: the trained one, the random policy of stage 01, and
an untrained one (initial networks and a random controller). A figure that cannot be drawn is left out, and said.

`browser`, which `all` leaves out, writes report/dream.html: one file that needs no other and no network, with the
folder's agent or, where nothing is trained, the pretrained one.
"""

import argparse
from contextlib import suppress
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import config
from controller.files import recorded_env
from experiments.html_report.controller_section import chosen_controller, has_controllers
from experiments.html_report.figures import draw_all
from experiments.html_report.header import footer, header
from experiments.html_report.page import Section, write_report
from experiments.html_report.sections import STAGES
from pipeline.batches import recorded_in
from pipeline.entries import check_car
from pipeline.errors import UserError
from pipeline.seeds import env_seed_range
from simulation.agent import default_folder, folder_of


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "what",
        choices=(*STAGES, "browser", "all"),
        help="stage to report on, or all of them; browser: the page to drive in",
    )
    environments = ", ".join(config.ENVIRONMENTS)
    which = f"environment: {environments}; default: that of --filename or of the batches in data/, or car_racing"
    parser.add_argument("env_name", nargs="?", help=which)
    parser.add_argument("--filename", type=Path, help="controller of stage 05; needed where there are several")
    parser.add_argument("--init_opt", type=Path, help="search that this one started from; the curve then includes it")
    parser.add_argument(
        "--num_episode", type=cli.episode_count, default=16, help="unseen tracks to score each agent on"
    )
    parser.add_argument("--seed", type=cli.seed, default=0, help="run seed of the unseen tracks")
    parser.add_argument("--draw_only", action="store_true", help="do not drive: use the scores and video in report/")
    args = parser.parse_args()
    args.env_name = args.env_name or (args.filename and recorded_env(args.filename)) or recorded_in() or "car_racing"
    cli.check_environment(parser, args.env_name)
    if args.what == "all" and args.filename and folder_of(args.filename).resolve() != Path.cwd():
        parser.error(f"all: the stages before {args.filename} are in {folder_of(args.filename)}: run it there")
    return args


def section(name: str, args: argparse.Namespace) -> Section:
    """Draw the figures of a stage; where its files are missing or damaged, say why it is left out."""
    stage = STAGES[name]
    try:
        drawn = draw_all(stage.figures(args))
    except UserError as error:
        print(f"left out: {name}: {error}", flush=True)
        return Section(name, stage.heading, stage.text, left_out=str(error))
    made = None
    with suppress(UserError):  # files of an earlier version may lack it; the figures do not need it
        made = stage.provenance(args)
    return Section(name, stage.heading, stage.text, drawn, made)


def report_all(args: argparse.Namespace) -> None:
    """Draw all stages and write the HTML report; UserError if no stage can be drawn."""
    if has_controllers(args):
        chosen_controller(args)  # several of them: the user must choose before minutes of work
    sections = [section(name, args) for name in STAGES]
    if all(each.left_out for each in sections):
        raise UserError(sections[0].left_out)
    path = config.REPORT_DIR / "index.html"
    write_report(header(args, sections), sections, path, footer())
    print(f"HTML report: {path}")


def report_browser(args: argparse.Namespace) -> Path:
    """Write the page with the dream; returns its path."""
    from experiments.browser.page import write_page

    check_car("the page", args.env_name)
    filename = args.filename or chosen_controller(args, default_folder())  # which prints what it takes
    path = config.REPORT_DIR / "dream.html"
    [env_seed] = env_seed_range("report", args.seed, 0, 1)
    write_page(filename, args.env_name, env_seed, path)
    return path


def main() -> None:
    args = parse_args()
    if args.what == "browser":
        print(f"open {report_browser(args)} in a browser")
    elif args.what == "all":
        report_all(args)
    else:
        draw_all(STAGES[args.what].figures(args))


if __name__ == "__main__":
    cli.run(main, resumable=False)
