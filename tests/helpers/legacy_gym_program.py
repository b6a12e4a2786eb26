"""Program of test_legacy_gym.py: steps gym 0.26 and Gymnasium and prints whether the results are equal."""

import json
import sys

import gym
import gymnasium
import numpy as np

ID = "custom_envs:WorldModels/CarRacing-v0"


def play(env: gym.Env | gymnasium.Env) -> list:
    frame, info = env.reset(seed=3)
    steps = [(frame, info)]
    steps += [env.step(np.array([0.1, 1, 0], np.float32)) for _ in range(40)]
    steps.append((env.render(),))
    env.close()
    return steps


def main() -> None:
    one, other = gym.make(ID, render_mode="rgb_array"), gymnasium.make(ID, render_mode="rgb_array")
    found = {
        "gym": gym.__version__,
        "is a gym.Env": isinstance(one, gym.Env) and isinstance(one.action_space, gym.spaces.Box),
        "samples": one.action_space.contains(one.action_space.sample()),
        "spaces": [str(one.observation_space), str(one.action_space)],
        "checker": "Checker" in str(one),
    }
    one_steps, other_steps = play(one), play(other)
    found["same"] = all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        for ours, theirs in zip(one_steps, other_steps, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    found["moves"] = not np.array_equal(one_steps[0][0], one_steps[40][0])
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
