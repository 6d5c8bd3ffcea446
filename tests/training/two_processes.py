"""Some steps of the tiny experiment of a project, alone or shared by the processes of torchrun.

`torchrun two_processes.py ROOT OUTPUT`: the first process writes the loss terms of each step, averaged over the
processes, and the last weights
and moments of Adam, which know the scale of the gradients.
"""

import sys
from pathlib import Path

import torch

from stylex.training.processes import joined
from stylex.training.run import prepare
from stylex.training.step import Step

STEPS = 20


def run_steps(root, output):
    with joined("cpu") as (processes, device):
        check(processes)
        run, state = prepare(root, "tiny", device, processes)
        history = []
        for _ in range(STEPS):
            reals = run.batches.next(state.random)
            terms = Step(state, run.config.stylex, run.judges, reals, processes).run()
            processes.average(list(terms.values()))
            history.append({name: float(value) for name, value in terms.items()})
        if processes.first:
            weights = {name: flat.vector.detach() for name, flat in state.weights.items()}
            optimizers = state.generator_optimizer.state, state.discriminator_optimizer.state
            moments = {
                f"{name} {moment}": optimizer[flat.vector][moment]
                for name, flat in state.weights.items()
                for optimizer in optimizers
                if flat.vector in optimizer
                for moment in ("exp_avg", "exp_avg_sq")
            }
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
