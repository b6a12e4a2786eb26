"""What each part of the agent is worth: the same search with one of them taken away, scored on the same 100 tracks.

    python benchmarks/ablations.py --folder FOLDER        # one that the stages 01 to 04 have run in

Every agent searches for --generations with the same seed, on the same tracks, in FOLDER/ablations/NAME; the best mean
of each is scored by model.py --final_mode. A run that was stopped goes on where it was. Writes ABLATIONS.md there.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import measure

import cli
import config
from rollouts import atomic_write, file_hash

AGENTS = {
    "z and h": "",
    "z alone": "--z_only 1",
    "z, and h of an untrained M": "",
    "a drawn z, and h": "--sample_z 1",
    "z, and h of an M that is told the action before": "--previous_action 1",
}
UNTRAINED = "z, and h of an untrained M"
SEARCH = "car_racing -n 16 -t 4 -e 2 --max_episode 2 --eval_steps 5"
DRIVER = "controller/car_racing.cma.2.64.best.json"


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="holds data/, vae/ and rnn/")
    parser.add_argument("--generations", type=cli.positive_int, default=30, help="generations of each search")
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the searches, and of the final tracks")
    return parser.parse_args()


def prepare(folder: Path, source: Path, untrained: bool) -> None:
    """Make a folder for one agent, with the data and the networks of another; M perhaps as it was before stage 04."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (config.DATA_DIR, config.VAE_DIR, *(() if untrained else (config.RNN_DIR,))):
        if not (folder / name).exists():
            (folder / name).symlink_to((source / name).resolve())
    weights = folder / config.RNN_DIR / "weights.h5"
    if untrained and not weights.exists():
        from nets import seed_everything
        from rnn.arch import RNN

        seed_everything(0)
        RNN().save(weights, {"settings": {"vae": file_hash(folder / config.VAE_DIR / "weights.h5")}})


def run(folder: Path, command: str) -> str:
    """Run one of the project's scripts there, its output on the screen as it comes; returns it."""
    script, *arguments = shlex.split(command)
    with subprocess.Popen(
        [sys.executable, measure.ROOT / script, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


def score(name: str, args: argparse.Namespace) -> str:
    """Search and score one agent, as far as that has not been done; returns the last line of model.py."""
    folder = args.folder / "ablations" / name.replace(",", "").replace(" ", "_")
    scored = folder / f"final.{args.generations}.{args.seed}.txt"
    if not scored.exists():
        print(f"--- {name}", flush=True)
        prepare(folder, args.folder, name == UNTRAINED)
        search = f"{SEARCH} {AGENTS[name]} --generations {args.generations} -s {args.seed}"
        run(folder, f"05_train_controller.py {search}")
        text = run(folder, f"model.py car_racing --filename {DRIVER} --final_mode --seed {args.seed}")
        with atomic_write(scored) as part:
            part.write_text(text)
    return scored.read_text().splitlines()[-1]


def main() -> None:
    args = parse_args()
    rows = [f"| {name} | `{AGENTS[name] or 'defaults'}` | {score(name, args)} |" for name in AGENTS]
    title = f"| what C sees, after {args.generations} generations, seed {args.seed} | flag | score |"
    table = "\n".join([title, "|---|---|---|", *rows]) + "\n"
    with atomic_write(args.folder / "ablations" / "ABLATIONS.md") as part:
        part.write_text(table)
    print(table)


if __name__ == "__main__":
    cli.run(main)
