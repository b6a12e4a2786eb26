"""Deep Q-Learning: the learner, and a training that can be resumed.

Mnih et al. 2015 (Nature 518, 529), Algorithm 1; for double Q-learning van Hasselt et al. 2016 (arXiv 1509.06461),
equation 4. NAME.state.h5 is the one commit point, from which the best weights and the learning curve follow.
"""

import argparse
from dataclasses import asdict, replace

import numpy as np
from tqdm import tqdm

from experiments.baselines import records
from experiments.baselines.q_learning import Problem, ReplayMemory
from experiments.plots.baselines import WINDOW, draw_training_scores
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.networks import are_saved, keras, load_weights, save_weights, seed_everything, tf, versions
from pipeline.seeds import env_seed_range, rng
from pipeline.training_state import check_arrays, read_state, restore, write_state
from simulation.rollout import Callback, Policy, Result, Slot, Task, World, rollout

COLUMNS = ("episode", "seconds", "steps", "score", "length", "epsilon", "loss")
SCORE = COLUMNS.index("score")
START = "--new_model starts over"
# Of targets and Q values, float32 (n,): error², or the Huber loss of width 1 (error² / 2, beyond it |error| - 1/2).
LOSSES = {"mse": keras.losses.mean_squared_error, "smooth_l1": keras.losses.huber}


def bellman_targets(
    reward: tf.Tensor, terminal: tf.Tensor, next_q: tf.Tensor, chosen_by: tf.Tensor, gamma: float
) -> tf.Tensor:
    """Targets of Q(state, action), float32 (n,): reward + gamma * value of the next state, 0 after a terminal step.

    The value is next_q (n, actions), from the target network, at the action with the highest chosen_by (n, actions):
    next_q itself or, in double Q-learning, the Q values of the trained network.
    """
    best = tf.argmax(chosen_by, axis=1)
    return reward + gamma * (1 - terminal) * tf.gather(next_q, best, axis=1, batch_dims=1)


class Learner:
    """A Q network with its target network and optimizer; its initial weights are a function of the seed."""

    def __init__(self, problem: Problem, seed: int) -> None:
        seed_everything(seed)
        self.network, self.recipe = problem.make_network(), problem.recipe
        self.target = keras.models.clone_model(self.network) if self.recipe.target_update_freq else self.network
        self.target.set_weights(self.network.get_weights())
        self.optimizer = keras.optimizers.Adam(self.recipe.learning_rate)
        self.optimizer.build(self.network.trainable_variables)
        self._q = tf.function(self.network, reduce_retracing=True)
        self._train = tf.function(self._train_step, reduce_retracing=True)

    def variables(self) -> dict[str, list]:
        """The variables that resuming needs."""
        target = [] if self.target is self.network else self.target.weights
        return {"model": self.network.weights, "target": target, "optimizer": self.optimizer.variables}

    def q(self, states: np.ndarray) -> np.ndarray:
        """Q values of states (n, ...), float32 (n, actions)."""
        return self._q(tf.constant(states)).numpy()

    def train(self, minibatch: tuple[np.ndarray, ...]) -> float:
        """Take one gradient step on a sample of a ReplayMemory; returns the loss before it."""
        return float(self._train(*map(tf.constant, minibatch)))

    def _train_step(
        self, state: tf.Tensor, action: tf.Tensor, reward: tf.Tensor, terminal: tf.Tensor, next_state: tf.Tensor
    ) -> tf.Tensor:
        next_q = self.target(next_state)
        chosen_by = self.network(next_state) if self.recipe.double else next_q
        targets = bellman_targets(reward, terminal, next_q, chosen_by, self.recipe.gamma)
        with tf.GradientTape() as tape:
            q = tf.gather(self.network(state, training=True), action, axis=1, batch_dims=1)
            loss = LOSSES[self.recipe.loss](tf.stop_gradient(targets), q)
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss


class QTraining(records.Training, Policy[World], Callback[World]):
    """One training, policy and callback of its episodes; its state, without replay memory, is in NAME.state.h5."""

    columns, unit = COLUMNS, "episodes"

    def __init__(self, problem: Problem, args: argparse.Namespace) -> None:
        flags = {name: getattr(args, name) for name in ("seed", "eval_steps", "eval_episode")}
        super().__init__(problem.name, "state.h5", replace(problem.recipe, **flags))
        self.problem, self.learner, self.target_score = problem, Learner(problem, args.seed), problem.target_score
        self.memory = ReplayMemory(problem.recipe.memory, problem.shape, problem.dtype, problem.stack)
        self.weights_path = records.path(f"{problem.name}_weight", "h5")
        self.best_weights: list[np.ndarray] = []
        self.resumed = False

    def check_new(self) -> None:
        super().check_new()
        if self.weights_path.exists():
            raise UserError(f"{self.weights_path} exists without {self.path}, which resuming needs: {START}")

    def run(self, total: int) -> None:
        with cli.progress(total, "episode") as self.bar:
            super().run(total)

    def log(self, text: str) -> None:
        tqdm.write(text)

    def report(self) -> None:
        scores, epsilon = self.rows[-WINDOW:, SCORE], self.last("epsilon")
        self.bar.set_postfix(score=f"{scores.mean():.0f}", epsilon=f"{epsilon:.2f}", refresh=False)
        self.bar.update(len(self.rows) - self.bar.n)

    def save(self) -> None:
        tables = {"rows": [self.rows], "evaluations": [self.evaluations], "best": self.best_weights}
        write_state(self.path, {"settings": asdict(self.settings)}, self.learner.variables() | tables)
        if not self.best_weights:
            return
        metadata = self.metadata()
        metadata |= {"steps": int(metadata["steps"]), "seconds": round(metadata["seconds"]), "versions": versions()}
        if not are_saved(self.weights_path, metadata):
            network, last = self.learner.network, self.learner.network.get_weights()
            network.set_weights(self.best_weights)
            save_weights(network, self.weights_path, metadata)
            network.set_weights(last)

    def restore(self) -> None:
        metadata, groups = read_state(self.path, START)
        self.check_settings(metadata.get("settings"))
        variables = self.learner.variables()
        [self.rows], [self.evaluations], best = (groups[name] for name in ("rows", "evaluations", "best"))
        check_arrays(self.path, variables["model"] if best else [], best, START)
        restore(self.path, variables, groups, START)
        self.best_weights, self.resumed = best, True
        self.save()  # a kill may have come between the state and the weights
        self.log("the replay memory starts empty")

    def score(self, env_seeds: list[int]) -> list[float]:
        return self.problem.evaluate(self.learner.q, env_seeds)

    def keep_best(self) -> None:
        self.best_weights = self.learner.network.get_weights()

    def draw(self) -> None:
        draw_training_scores(self.name, self.rows[:, SCORE].tolist(), records.path(self.name, "png"), self.evaluations)

    def advance(self) -> tuple[float, ...]:
        """One episode; its track, exploration and minibatches are functions of the seed and its number."""
        seed, episode, first = self.settings.seed, len(self.rows), int(self.last("steps"))
        self.losses: list[float] = []
        self.steps, self.epsilon = first, self.problem.recipe.epsilon_final
        self.stream = rng("q_learning", seed, episode)
        [env_seed] = env_seed_range("search", seed, episode, 1)
        task, limit = Task(env_seed, self.problem.max_length), self.problem.max_steps_without_progress
        [result] = rollout(self.problem.world, self, [task], limit, [self])
        return self.steps, result.score, self.steps - first, self.epsilon, float(np.mean(self.losses or [0.0]))

    def act(self, world: World, slots: list[Slot]) -> np.ndarray:
        [slot], recipe = slots, self.problem.recipe
        if slot.steps:
            self.learn(slot, done=False)
        else:
            self.memory.begin(self.problem.observe())
        if not (self.resumed and recipe.epsilon_decay):  # the source resumes with the final epsilon
            self.epsilon = recipe.epsilon(self.steps, int(self.learner.optimizer.iterations))
        explores, newest = self.stream.random() < self.epsilon, self.memory.newest()
        self.action = self.problem.explore(self.stream) if explores else int(self.learner.q(newest)[0].argmax())
        return self.problem.actions[[self.action]]

    def on_end(self, world: World, slot: Slot, result: Result) -> None:
        self.learn(slot, done=True)

    def learn(self, slot: Slot, done: bool) -> None:
        """Store the last transition, and train the network when it is due."""
        recipe, learner, memory = self.problem.recipe, self.learner, self.memory
        memory.add(self.action, *self.problem.learn_from(slot), self.problem.observe())
        self.steps += 1
        due = self.steps % recipe.train_every == 0 if recipe.train_every else done
        if due and memory.transitions >= recipe.warm_up:
            self.losses.append(learner.train(memory.sample(recipe.batch_size, self.stream)))
            if not np.isfinite(self.losses[-1]):
                number, loss = len(self.rows) + 1, self.losses[-1]
                raise UserError(f"the loss is {loss} in episode {number}: the last saved state is kept")
        if recipe.target_update_freq and self.steps % recipe.target_update_freq == 0:
            learner.target.set_weights(learner.network.get_weights())


def load_best(problem: Problem, script: str) -> tuple[Learner, dict]:
    """A learner with the best weights of a training, and their metadata; UserError when they are missing or damaged."""
    learner, path = Learner(problem, 0), records.path(f"{problem.name}_weight", "h5")
    load_weights(learner.network, path, script)
    return learner, dict(read_json(path.with_suffix(".json")))
