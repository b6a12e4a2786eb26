"""The schedule of a search: which actions are searched at a generation, and how widely."""

import config

TURNS = {"gas": 2.0, "brake": 1.0, "steer": 1.0}  # one after the other, each so many times as wide as --turn_sigma


def actions_at(settings: dict, generation: int) -> tuple[str, ...]:
    """The actions whose weights are searched after so many generations: all at first, then each in its turn.

    Together they learn to drive soonest. A driver that stays on the road is then easily thrown off it by a change of
    all three, and what a single one could gain is lost in the accidents; of one alone, a third of the numbers, members
    may differ by more, and of the gas, which forgives much, by most.
    """
    turn = generation - settings["joint_steps"]
    if turn < 0:
        return config.ACTIONS
    return (tuple(TURNS)[turn // settings["turn_steps"] % len(TURNS)],)


def turn_begins(settings: dict, generation: int) -> bool:
    """Whether other actions are searched after so many generations than before."""
    return actions_at(settings, generation) != actions_at(settings, generation - 1)


def first_sigma(settings: dict, generation: int) -> float:
    """How wide an optimizer begins that is started after so many generations, unless --retrain starts it."""
    actions = actions_at(settings, generation)
    return settings["sigma_init"] if actions == config.ACTIONS else TURNS[actions[0]] * settings["turn_sigma"]
