"""Plays gym 0.17.2's CarRacing-v0 for original.py, which speaks to it through a pipe. Runs on that gym's own Python.

Questions: "R" and a seed (int64), or "A" and an action (3 float64). Answers: reward (float64), done (1 byte), frame
(64 x 64 x 3 bytes).
"""

import os
import struct
import sys

answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what gym prints is no answer


def main():
    import gym
    import gym.envs.box2d.car_racing as original
    import numpy as np

    gym.logger.set_level(40)  # errors
    original.STATE_W = original.STATE_H = 64
    env, questions = original.CarRacing(verbose=0), sys.stdin.buffer
    while True:
        kind = questions.read(1)
        reward, done = 0.0, False
        if kind == b"R":
            (seed,) = struct.unpack("<q", questions.read(8))
            env.close()
            env = original.CarRacing(verbose=0)  # what a world has been through changes the order of its contacts
            env.np_random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
            frame = env.reset()
        elif kind == b"A":
            frame, reward, done, _ = env.step(np.array(struct.unpack("<3d", questions.read(24))))
        else:
            return
        answers.write(struct.pack("<d?", reward, done) + frame.tobytes())
        answers.flush()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # no gym, no display, a broken pipe: for the other side they are all its end
        sys.exit(f"{sys.argv[0]}: {' '.join(str(error).split())}")
