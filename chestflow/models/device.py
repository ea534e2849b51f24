"""Where and how torch computes: the device, the number of threads, the seed."""

import os

# Both are read when torch is loaded or first used. cuBLAS is deterministic only with a workspace of
# fixed size; what Apple's GPU does not support runs on the CPU.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

import torch
from threadpoolctl import threadpool_limits


def prepare(threads: int, seed: int = 0) -> torch.device:
    """Fix what decides the last digits of a result, and choose the fastest device.

    threads: per process, of torch and of the libraries under NumPy; seed: of torch.
    """
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # of NumPy, SciPy and scikit-learn
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        # On the CPU nothing needs this, and it would cost seconds: it loads torch's compiler.
        torch.use_deterministic_algorithms(True, warn_only=True)
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
