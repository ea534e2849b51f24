"""Where and how torch computes: the device, the number of threads, the seed."""

import torch


def prepare(threads: int, seed: int = 0) -> torch.device:
    """Fix what decides the last digits of a result, and choose the fastest device there is."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
