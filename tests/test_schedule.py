"""Test of the schedule of a search, as a table."""

from helpers.settings import search_settings

from controller.schedule import Schedule
from pipeline.seeds import env_seed_range

COLUMNS = "generation tracks limit evaluation"
TABLE = """
generation  tracks  limit  evaluation
0           0-4     1000
1           5-9     60
2           10-14   60
3           15-19   60     12-15
4           20-24   60
5           25-29   60
6           30-34   60     24-27
"""


def table(schedule: Schedule, generations: int) -> str:
    """A row per generation, when episodes take 30 steps; tracks are indices of the range of their purpose."""
    rows = [COLUMNS.split()]
    [search], [evaluate] = (env_seed_range(purpose, schedule.settings.seed, 0, 1) for purpose in ("search", "evaluate"))
    for generation in range(generations):
        [tracks], evaluated = {tuple(tracks) for tracks in schedule.env_seeds(generation)}, []
        if schedule.evaluation_due(generation):
            evaluated = schedule.evaluation_seeds(generation)
        assert len(tracks) == schedule.settings.num_episode
        row = [generation, f"{tracks[0] - search}-{tracks[-1] - search}"]
        row += [schedule.max_length(generation, mean_steps=30.0)]
        row += [f"{evaluated[0] - evaluate}-{evaluated[-1] - evaluate}" if evaluated else ""]
        rows.append([str(cell) for cell in row])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def test_the_schedule_of_a_search() -> None:
    settings = {"num_episode": 5, "eval_steps": 3, "eval_episode": 4, "cap_time": 1, "max_length": 1000}
    found = table(Schedule(search_settings(**settings)), 7)
    print(found)
    assert found == TABLE.lstrip()
