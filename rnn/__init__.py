"""M: see rnn/arch.py."""
