"""Replays action tapes in the original CarRacing-v0; runs on the interpreter that install.sh makes, with a display.

    xvfb-run -a -s "-screen 0 1400x900x24" original-gym/bin/python tests/original/driver.py SCENES.npz OUT.npz

SCENES.npz holds {name}_seed and {name}_tape, (steps, 3) float32, for every scene. OUT.npz then holds {name}_frames,
(steps + 1, 64, 64, 3) uint8, and {name}_rewards, (steps,).
"""

import sys

import gym.envs.box2d.car_racing as original
import numpy as np

original.STATE_W = original.STATE_H = 64


def play(seed, tape):
    """Frames and rewards of one scene, in a new environment: the tracks come from the generator Gymnasium uses."""
    env = original.CarRacing(verbose=0)
    env.np_random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(seed))))
    frames, rewards = [env.reset()], []
    for action in tape:
        frame, reward, _, _ = env.step(action.astype(np.float64))
        frames.append(frame)
        rewards.append(reward)
    env.close()
    return np.stack(frames), np.array(rewards)


def main():
    scenes, out = np.load(sys.argv[1], allow_pickle=False), {}
    for name in sorted(key.removesuffix("_tape") for key in scenes if key.endswith("_tape")):
        frames, rewards = play(scenes[f"{name}_seed"], scenes[f"{name}_tape"])
        out[f"{name}_frames"], out[f"{name}_rewards"] = frames, rewards
    np.savez_compressed(sys.argv[2], **out)


if __name__ == "__main__":
    main()
