"""`python3 peers.py OUT.jsonl FOLDER`: attention, ours and torch's SDPA back ends in turns in one process, each a CUDA graph; then the small row
operations by torch.compile. One JSON line a shape. Without FOLDER (cubins, attention.so) the peers alone."""
import ctypes
import json
import statistics
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


class Repeated:
    """A graph of `launches` calls of `body(stream)`; `once()` gives the microseconds of one."""

    def __init__(self, body, launches=4):
        self.launches = launches
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            body(stream)
        stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            for _ in range(launches):
                body(stream)
        self.events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.once()

    def once(self):
        begin, end = self.events
        begin.record(); self.graph.replay(); end.record(); end.synchronize()
        return begin.elapsed_time(end) * 1000 / self.launches

    def median(self, rounds):
        return statistics.median(self.once() for _ in range(rounds))


class Ours:
    """The instances of AttentionSm90, through attention.so."""

    def __init__(self, folder):
        self.library = ctypes.CDLL(folder + "/attention.so")
        self.library.attention_open.restype = ctypes.c_void_p
        self.library.attention_name.restype = ctypes.c_char_p
        self.library.attention_count.argtypes = [ctypes.c_void_p]
        self.library.attention_name.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.library.attention_prepare.argtypes = [ctypes.c_void_p] + [ctypes.c_int] * 6 + [ctypes.c_ulonglong] * 4
        self.library.attention_launch.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self.face = self.library.attention_open(folder.encode())
        if not self.face:
            raise RuntimeError("no instances")

    def candidates(self, q, k, v, o, causal):
        batch, tokens, heads, dim = q.shape
        for i in range(self.library.attention_count(self.face)):
            launch = self.library.attention_prepare(self.face, i, batch, tokens, heads, dim, causal, *(t.data_ptr() for t in (q, k, v, o)))
            if launch >= 0:
                yield self.library.attention_name(self.face, i).decode(), launch

    def body(self, launch):
        def run(stream):
            if self.library.attention_launch(self.face, launch, stream.cuda_stream):
                raise RuntimeError("launch")
        return run


def attention(out, folder):
    ours = Ours(folder) if folder else None
    for causal in (False, True):
        for batch, tokens in ((1, 2048), (8, 2048), (1, 8192), (2, 8192)):
            q, k, v = (torch.randn(batch, tokens, 16, 128, device="cuda", dtype=torch.float16) for _ in range(3))
            row = {"section": "attention", "batch": batch, "tokens": tokens, "heads": 16, "dim": 128, "causal": int(causal)}
            runs, results = {}, {}
            for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
                def body(stream, backend=backend, name=name):
                    with sdpa_kernel(backend):
                        results[name] = torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=causal)
                try:
                    runs[name] = Repeated(body)
                except Exception as error:
                    row[name + "_error"] = str(error)[:100]
            if ours:
                o = torch.full_like(q, float("nan"))
                timed = []
                for name, launch in ours.candidates(q, k, v, o, int(causal)):
                    run = Repeated(ours.body(launch))
                    timed.append((run.median(5), name, run))
                timed.sort(key=lambda t: t[0])
                row["all"] = {name: round(us, 2) for us, name, _ in timed}
                for _, name, run in timed[:2]:
                    runs[name] = run
            # In turns, each round beginning elsewhere, so that all see the same clock.
            times = {name: [] for name in runs}
            names = list(runs)
            for round_ in range(15):
                for i in range(len(names)):
                    name = names[(i + round_) % len(names)]
                    times[name].append(runs[name].once())
            medians = {name: round(statistics.median(t), 3) for name, t in times.items()}
            for name in ("cudnn", "flash"):
                if name in medians:
                    row[name + "_us"] = medians[name]
            if ours:
                best = min((n for n in medians if n not in ("cudnn", "flash")), key=lambda n: medians[n])
                o.fill_(float("nan"))
                runs[best].once()
                expected = torch.nn.functional.scaled_dot_product_attention(*(t[:1, :, :2].transpose(1, 2).double() for t in (q, k, v)), is_causal=causal).transpose(1, 2)
                error = float((o[:1, :, :2].double() - expected).norm() / expected.norm())
                ratio = min(medians[n] for n in ("cudnn", "flash") if n in medians) / medians[best]
                row.update(instance=best, ours_us=medians[best], ratio=round(ratio, 4), error=error, verdict="pass" if error < 1e-3 and not bool(o.isnan().any()) else "wrong",
                           tflops=round(4e-6 * batch * 16 * tokens * tokens * 128 / (2 if causal else 1) / medians[best], 1))
            print(json.dumps(row), file=out, flush=True)
            print(json.dumps(row))


def compiled_rows(out):
    """The row operations at 128 x 768 by torch.compile, each in a graph of 64 launches over rotated inputs."""
    F = torch.nn.functional
    sets = [tuple(torch.randn(128, 768, device="cuda", dtype=torch.float16) for _ in range(2)) for _ in range(64)]
    gamma, beta = (torch.randn(768, device="cuda", dtype=torch.float16) for _ in range(2))
    bodies = {
        "layernorm": lambda x, r: F.layer_norm(x, (768,), gamma, beta),
        "rmsnorm": lambda x, r: F.rms_norm(x, (768,), gamma),
        "softmax": lambda x, r: torch.softmax(x, -1),
        "gelu": lambda x, r: F.gelu(x + gamma),
        "addnorm": lambda x, r: ((x + r), F.layer_norm(x + r, (768,), gamma, beta)),
    }
    for name, body in bodies.items():
        try:
            fast = torch.compile(body)
            for x, r in sets[:3]:
                fast(x, r)
            us = Repeated(lambda stream: [fast(x, r) for x, r in sets], launches=1).median(15) / len(sets)
            row = {"section": "rows-peer", "what": f"{name} 128x768", "compile_us": round(us, 3)}
        except Exception as error:
            row = {"section": "rows-peer", "what": f"{name} 128x768", "error": str(error)[:100]}
        print(json.dumps(row), file=out, flush=True)
        print(json.dumps(row))


if __name__ == "__main__":
    lines = open(sys.argv[1], "a") if len(sys.argv) > 1 else sys.stdout
    attention(lines, sys.argv[2] if len(sys.argv) > 2 else None)
    if "--attention" not in sys.argv:
        compiled_rows(lines)
