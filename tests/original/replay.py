"""Replay of action sequences in the original CarRacing-v0; needs ORIGINAL_GYM_PYTHON and a display.

    xvfb-run -a -s "-screen 0 1400x900x24" python tests/original/replay.py SCENES.npz OUT.npz

SCENES.npz holds {name}_seed and {name}_tape (the actions, float32 (steps, 3)) of every scene. Writes {name}_frames,
uint8 (steps + 1, 64, 64, 3), and {name}_rewards, float64 (steps,), to OUT.npz.
"""

import argparse

import numpy as np

from custom_envs.original import OriginalCarRacing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", help="file of scenes (.npz)")
    parser.add_argument("out", help="file to write (.npz)")
    args = parser.parse_args()
    env, out = OriginalCarRacing(), {}
    with np.load(args.scenes, allow_pickle=False) as scenes:
        for name in sorted(key.removesuffix("_tape") for key in scenes if key.endswith("_tape")):
            frames, rewards = [env.reset(seed=int(scenes[f"{name}_seed"]))[0]], []
            for action in scenes[f"{name}_tape"]:
                frame, reward, *_ = env.step(action)
                frames.append(frame)
                rewards.append(reward)
            out[f"{name}_frames"], out[f"{name}_rewards"] = np.stack(frames), np.array(rewards)
    env.close()
    np.savez_compressed(args.out, **out)


if __name__ == "__main__":
    main()
