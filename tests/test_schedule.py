"""Test of the schedule of a search, as a table."""

import numpy as np
from helpers.settings import search_settings

from controller.schedule import HARD_TRACKS, Schedule
from pipeline.seeds import env_seed_range

COLUMNS = "generation actions begins sigma decay unseen hard limit evaluation"
TABLE = """
generation  actions          begins  sigma  decay  unseen  hard  limit  evaluation
0           steer+gas+brake          0.1    0.9    0-4           1000
1           steer+gas+brake          0.1    0.9    5-9           60
2           steer+gas+brake          0.1    0.9    10-14         60
3           gas              yes     0.04   1.0    15-17   6,7   60     12-15
4           gas                      0.04   1.0    20-22   0,1   60
5           brake            yes     0.02   1.0    25-27   2,3   60
6           brake                    0.02   1.0    30-32   4,5   60     24-27
7           steer            yes     0.02   1.0    35-37   6,7   60
8           steer                    0.02   1.0    40-42   0,1   60
9           gas              yes     0.04   1.0    45-47   2,3   60     36-39
"""


def table(schedule: Schedule, generations: int) -> str:
    """A row per generation, when episodes take 30 steps and the hard tracks are 0, 1, ... after an evaluation.

    Unseen tracks and those of an evaluation, which comes before the generation, are indices of their ranges.
    """
    rows, hard_tracks = [COLUMNS.split()], np.zeros(0, np.int64)
    [search], [evaluate] = (env_seed_range(purpose, schedule.settings.seed, 0, 1) for purpose in ("search", "evaluate"))
    for generation in range(generations):
        evaluated = []
        if schedule.evaluation_due(generation):
            evaluated = schedule.evaluation_seeds(generation)
            hard_tracks = np.arange(HARD_TRACKS) if schedule.replays_hard_tracks else hard_tracks
        env_seeds = schedule.env_seeds(generation, hard_tracks)
        unseen = [env_seed for env_seed in env_seeds if env_seed >= search]
        row = [generation, "+".join(schedule.actions(generation)), "yes" if schedule.phase_begins(generation) else ""]
        row += [schedule.initial_sigma(generation), schedule.sigma_decay(generation)]
        row += [f"{unseen[0] - search}-{unseen[-1] - search}", ",".join(str(s) for s in env_seeds if s < search)]
        row += [schedule.max_length(generation, mean_steps=30.0)]
        row += [f"{evaluated[0] - evaluate}-{evaluated[-1] - evaluate}" if evaluated else ""]
        rows.append([str(cell) for cell in row])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def test_the_schedule_of_a_search() -> None:
    settings = {"joint_steps": 3, "turn_steps": 2, "turn_sigma": 0.02, "sigma_decay": 0.9, "hard_tracks": True}
    settings |= {"num_episode": 5, "eval_steps": 3, "eval_episode": 4, "cap_time": 1, "max_length": 1000}
    found = table(Schedule(search_settings(**settings)), 10)
    print(found)
    assert found == TABLE.lstrip()


def test_a_search_in_dreams_replays_no_hard_tracks() -> None:
    settings = search_settings(dream_mode=1, hard_tracks=True, eval_steps=1, num_episode=4)
    for row in table(Schedule(settings), 4).splitlines()[2:]:
        generation, *_, unseen, limit, evaluation = row.split()
        first = 4 * int(generation)
        assert (unseen, limit) == (f"{first}-{first + 3}", "9")
        assert evaluation == f"{5 * int(generation)}-{5 * int(generation) + 4}"
