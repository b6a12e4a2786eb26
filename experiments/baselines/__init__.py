"""The other agents that the sources describe, on the same road: random, Deep Q-Learning, a genetic algorithm."""
