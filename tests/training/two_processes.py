"""Some steps of the tiny experiment of a project, alone or shared by the processes of torchrun.

`torchrun two_processes.py ROOT OUTPUT`: the first process writes the loss terms of each step, averaged over the
processes, and the last weights and moments of Adam, which know the scale of the gradients.
"""

import sys
from pathlib import Path

import torch

from stylex.training.distributed import joined
from stylex.training.run import prepare
from stylex.training.step import advance

STEPS = 20


def run_steps(root, output):
    with joined("cpu") as (processes, device):
        check(processes)
        run, state = prepare(root, "tiny", device, processes)
        history = []
        for _ in range(STEPS):
            terms = advance(state, run.config.stylex, run.frozen, run.sampler, processes)
            processes.average(list(terms.values()))
            history.append({name: float(value) for name, value in terms.items()})
        moments = {
            f"{name} {moment}": optimizer.state[flat.vector][moment]
            for name, flat in state.weights.items()
            for optimizer in (state.generator_optimizer, state.discriminator_optimizer)
            if flat.vector in optimizer.state
            for moment in ("exp_avg", "exp_avg_sq")
        }
        if processes.first:
            weights = {name: flat.vector.detach() for name, flat in state.weights.items()}
            result = {"processes": processes.size, "history": history, "weights": weights, "moments": moments}
            torch.save(result, output)


def check(processes):
    """Processes learn of each other what they should, however many they are."""
    rank, size = processes.rank, processes.size
    mean = (size - 1) / 2
    numbers = torch.tensor([rank, 7.0]), torch.full((2, 2), float(rank)), torch.tensor(2.0 * rank)
    processes.average(numbers)
    assert [each.tolist() for each in numbers] == [[mean, 7.0], [[mean, mean], [mean, mean]], 2 * mean]
    assert processes.any(rank == size - 1)
    assert not processes.any(False)
    assert processes.of_first(f"from {rank}") == "from 0"
    assert processes.of_first(None if processes.first else "from another") is None


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_steps(Path(sys.argv[1]), Path(sys.argv[2]))
