"""The tables of README.md and docs/, rendered from docs/results/*.json by `python experiments/results.py --render`."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from experiments import ROOT
from experiments.benchmarks.measure import speed_section
from pipeline.errors import UserError
from pipeline.files import read_json, write_text
from pipeline.scores import mean_std

RESULTS_DIR = ROOT / "docs" / "results"
README, SPEED, RESULTS = ROOT / "README.md", ROOT / "docs" / "speed.md", ROOT / "docs" / "results.md"
GAME, CLUSTERS = ROOT / "docs" / "your_environment.md", ROOT / "docs" / "clusters.md"
DREAMS = ROOT / "docs" / "learning_in_dreams.md"

# The README's rows: name -> agent, text of the score column where nothing is recorded, cost if it is not the wall time.
AGENTS = {
    "demo": ("`make demo`", "not measured yet", ""),
    "train": ("`make train`", "see [results](docs/results.md)", ""),
    "pretrained": ("pretrained", "not measured yet", "shipped, see [provenance](pretrained/README.md)"),
}
# World Models, table 1: 906 ± 21 over 100 random tracks; its search ran on 64 cores for about 2,000 generations.
PAPER = (
    "| [paper](https://arxiv.org/abs/1803.10122), table 1 | 906 ± 21 | — | 100 | 64 cores, about 2,000 generations |"
)


def read_results(name: str) -> list[dict]:
    """The results NAME.json and NAME_seed*.json that are there.

    Raises:
        UserError: one of them is damaged or holds no scores.
    """
    results = []
    for path in [*RESULTS_DIR.glob(f"{name}.json"), *sorted(RESULTS_DIR.glob(f"{name}_seed*.json"))]:
        result = read_json(path)
        if not isinstance(result, dict) or not {"scores", "mean", "min", "cores"} <= result.keys():
            raise UserError(f"{path} is not a result with scores")
        results.append(result)
    return results


def table_row(name: str) -> str:
    """A row of the README's table; with several seeds, the median of their means and the worst minimum."""
    agent, unmeasured, cost = AGENTS[name]
    results = read_results(name)
    if not results:
        return f"| {agent} | {unmeasured} | | | |"
    seeds, means = len(results), [result["mean"] for result in results]
    score = mean_std(results[0]["scores"]) if seeds == 1 else f"{median(means):.1f} (median of {seeds} seeds)"
    tracks = "–".join(map(str, sorted({len(result["scores"]) for result in results})))
    minutes = [result["wall_minutes"] for result in results if result.get("wall_minutes")]
    if not cost:
        cost = f"{median(minutes):.0f} minutes on {results[0]['cores']} cores" if minutes else "—"
    low = min(result["min"] for result in results)
    return f"| {agent} | {score} | {low:.1f} | {tracks}{' each' if seeds > 1 else ''} | {cost} |"


def results_table() -> str:
    """The README's table of four rows."""
    head = ["| agent | score (mean ± std) | min | tracks | cost |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(table_row, AGENTS), PAPER])


def measured(name: str, command: str) -> str:
    """A recorded benchmark, NAME.json; without one, the command that makes it."""
    path = RESULTS_DIR / f"{name}.json"
    return speed_section(read_json(path)) if path.exists() else f"Not measured at this revision yet: run `{command}`."


def speed_table() -> str:
    """The measured part of docs/speed.md."""
    return measured("speed", "make bench")


def scale_table() -> str:
    """The speed of stage 05 on many ranks, for docs/clusters.md."""
    return measured("scale", "python experiments/benchmarks/scale.py")


# Scores of the paper's agent and of AttentionAgent over 100 tracks: google/brain-tokyo-workshop, CarRacingExtension.
PUBLISHED = {
    "car_racing": ("901 ± 37", "914 ± 15"),
    "car_racing_color": ("655 ± 353", "866 ± 112"),
    "car_racing_color3": ("394 ± 413", "673 ± 372"),
    "car_racing_bar": ("166 ± 137", "900 ± 35"),
    "car_racing_blob": ("446 ± 299", "898 ± 53"),
}


def robustness_table() -> str:
    """Scores of the pretrained agent in environments with other pixels, beside published ones."""
    path = RESULTS_DIR / "robustness.json"
    if not path.exists():
        return "Not measured yet: run `python experiments/studies/robustness.py`."
    rows = ["| environment | pretrained agent | min | the paper's agent | AttentionAgent |", "|---|---|---|---|---|"]
    for name, scores in read_json(path)["scores_by_environment"].items():
        paper, attention = PUBLISHED.get(name, ("—", "—"))
        rows.append(f"| `{name}` | {mean_std(scores)} | {min(scores):.1f} | {paper} | {attention} |")
    return "\n".join(rows)


GAMES = {  # name of the result -> environment, agent
    "snake": ("Snake", "World Models"),
    "snake_dqn": ("Snake", "Deep Q-Learning"),
    "snake_random": ("Snake", "random"),
    "pendulum": ("Pendulum", "World Models"),
    "pendulum_random": ("Pendulum", "random"),
    "doom_take_cover": ("Doom Take Cover", "World Models, in dreams"),
    "doom_take_cover_random": ("Doom Take Cover", "random"),
}


def games_table() -> str:
    """Scores in the environments other than the car, and what the agents cost."""
    rows = ["| environment | agent | score (mean ± std) | min | episodes | cost |", "|---|---|---|---|---|---|"]
    for name, (environment, agent) in GAMES.items():
        for result in read_results(name):
            only_scored = result["command"].startswith("python experiments/results.py")  # the cost is that of the score
            trained = not only_scored and result.get("processor_minutes")
            cost = f"{result['processor_minutes']:.0f} processor minutes" if trained else "—"
            score, low = mean_std(result["scores"]), result["min"]
            rows.append(f"| {environment} | {agent} | {score} | {low:.1f} | {result['tracks']} | {cost} |")
    return "\n".join(rows)


# World Models, table 2: steps survived by temperature, in dreams and in the game, over 100 episodes.
PAPER_BY_TEMPERATURE = {
    0.1: ("2086 ± 140", "193 ± 58"),
    0.5: ("2060 ± 277", "196 ± 50"),
    1.0: ("1145 ± 690", "868 ± 511"),
    1.15: ("918 ± 546", "1092 ± 556"),
    1.3: ("732 ± 269", "753 ± 139"),
}


def temperature_table() -> str:
    """Steps survived in Doom Take Cover by the temperature of the dreams of the search, beside the paper's."""
    path = RESULTS_DIR / "doom_temperature.json"
    if not path.exists():
        return "Not measured yet: run `python experiments/studies/transfer.py` with its flags for Doom."
    rows = ["| temperature | dream | game | the paper: dream | game |", "|---|---|---|---|---|"]
    for search in read_json(path)["searches"]:
        own = (f"{search[world][-1]['mean']:.0f} ± {search[world][-1]['std']:.0f}" for world in ("dream", "real"))
        paper = PAPER_BY_TEMPERATURE.get(search["temperature"], ("—", "—"))
        rows.append(f"| {' | '.join([str(search['temperature']), *own, *paper])} |")
    return "\n".join(rows)


SECTIONS: dict[str, Callable[[], str]] = {
    "results": results_table,
    "speed": speed_table,
    "robustness": robustness_table,
    "games": games_table,
    "temperature": temperature_table,
    "scale": scale_table,
}
# File and section.
PLACES = [
    (README, "results"),
    (SPEED, "speed"),
    (RESULTS, "robustness"),
    (GAME, "games"),
    (DREAMS, "temperature"),
    (CLUSTERS, "scale"),
]


def rendered(path: Path, section: str) -> str:
    """The content that a Markdown file should have: with its section between the markers made from the results.

    Raises:
        UserError: the file has no such markers.
    """
    start, end = f"<!-- {section}:start -->", f"<!-- {section}:end -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(start)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise UserError(f"{path.name} lacks the lines {start} and {end}, between which the table belongs")
    return f"{before}{start}\n{SECTIONS[section]()}\n{end}{after}"


def render(path: Path, section: str) -> None:
    """Rewrite a section of a Markdown file from the results."""
    content = rendered(path, section)
    write_text(path, content)
