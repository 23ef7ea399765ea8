"""Attention by torch's SDPA, each of its back ends, in a CUDA graph: one JSON line a shape, the best back end named."""
import json
import sys
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def graph_median_us(body, launches=4, rounds=7):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        body()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(launches):
            body()
    times = []
    for _ in range(rounds + 1):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record(); graph.replay(); end.record(); end.synchronize()
        times.append(begin.elapsed_time(end) * 1000 / launches)
    return sorted(times[1:])[rounds // 2]


def attention(out):
    for causal in (False, True):
        for batch, tokens in ((1, 2048), (8, 2048), (1, 8192), (2, 8192)):
            q, k, v = (torch.randn(batch, tokens, 16, 128, device="cuda", dtype=torch.float16).transpose(1, 2) for _ in range(3))
            row = {"section": "attention-peer", "batch": batch, "tokens": tokens, "heads": 16, "dim": 128, "causal": int(causal)}
            for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
                try:
                    with sdpa_kernel(backend):
                        row[name + "_us"] = round(graph_median_us(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)), 3)
                except Exception as error:
                    row[name + "_error"] = str(error)[:100]
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
            us = graph_median_us(lambda: [fast(x, r) for x, r in sets], launches=1, rounds=15) / len(sets)
            row = {"section": "rows-peer", "what": f"{name} 128x768", "compile_us": round(us, 3)}
        except Exception as error:
            row = {"section": "rows-peer", "what": f"{name} 128x768", "error": str(error)[:100]}
        print(json.dumps(row), file=out, flush=True)
        print(json.dumps(row))


if __name__ == "__main__":
    lines = open(sys.argv[1], "a") if len(sys.argv) > 1 else sys.stdout
    attention(lines)
    compiled_rows(lines)
