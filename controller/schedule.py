"""The schedule of a search: which actions' weights are searched in a generation, and with which initial sigma."""

import config

# The block-coordinate phases in their order: action -> initial sigma as a multiple of --turn_sigma.
PHASES = {"gas": 2.0, "brake": 1.0, "steer": 1.0}


def actions_at(settings: dict, generation: int) -> tuple[str, ...]:
    """The actions whose weights are searched after `generation` generations: all at first, then one per phase.

    Searching all weights together finds a policy that stays on the road fastest. Late in training, most variance
    between candidates comes from crashes. Perturbing one action's weights, a third of the dimensions, keeps candidates
    on the road at a larger sigma, so fitness measures speed again. The gas tolerates the largest perturbations.
    """
    phase_generation = generation - settings["joint_steps"]
    if phase_generation < 0:
        return config.ACTIONS
    return (tuple(PHASES)[phase_generation // settings["turn_steps"] % len(PHASES)],)


def phase_begins(settings: dict, generation: int) -> bool:
    """Whether the actions searched change after `generation` generations."""
    return actions_at(settings, generation) != actions_at(settings, generation - 1)


def initial_sigma(settings: dict, generation: int) -> float:
    """The initial sigma of an optimizer that is started after `generation` generations, except by --retrain."""
    actions = actions_at(settings, generation)
    return settings["sigma_init"] if actions == config.ACTIONS else PHASES[actions[0]] * settings["turn_sigma"]
