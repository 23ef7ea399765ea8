"""cuDNN on ResNet-50's convolutions, fp16, channels last, in a CUDA graph over rotated inputs: one JSON line a row.

torch's benchmark mode builds the plans of cuDNN's heuristics (and its fall-back list) and times every one of them. Fused: one
cuDNN graph of convolution + bias + (residual) + ReLU; where that is slower, convolution + bias and then ReLU. The better counts."""
import json
import sys
import torch
from peers import Repeated

torch.backends.cudnn.benchmark = True
torch.backends.cudnn.benchmark_limit = 0
ROWS = [  # h, w, c, k, filter, stride, residual
    (224, 224, 3, 64, 7, 2, 0), (56, 56, 64, 64, 1, 1, 0), (56, 56, 64, 64, 3, 1, 0), (56, 56, 64, 256, 1, 1, 1), (56, 56, 256, 64, 1, 1, 0), (56, 56, 256, 128, 1, 1, 0),
    (56, 56, 128, 128, 3, 2, 0), (28, 28, 128, 512, 1, 1, 1), (56, 56, 256, 512, 1, 2, 0), (28, 28, 512, 128, 1, 1, 0), (28, 28, 128, 128, 3, 1, 0), (28, 28, 512, 256, 1, 1, 0),
    (28, 28, 256, 256, 3, 2, 0), (14, 14, 256, 1024, 1, 1, 1), (28, 28, 512, 1024, 1, 2, 0), (14, 14, 1024, 256, 1, 1, 0), (14, 14, 256, 256, 3, 1, 0), (14, 14, 1024, 512, 1, 1, 0),
    (14, 14, 512, 512, 3, 2, 0), (7, 7, 512, 2048, 1, 1, 1), (14, 14, 1024, 2048, 1, 2, 0), (7, 7, 2048, 512, 1, 1, 0), (7, 7, 512, 512, 3, 1, 0),
]
out = open(sys.argv[1], "a") if len(sys.argv) > 1 else sys.stdout
for images in (1, 32):
    for h, w, c, k, f, stride, residual in ROWS:
        p, q = (h + 2 * (f // 2) - f) // stride + 1, (w + 2 * (f // 2) - f) // stride + 1
        moved = 2 * (images * h * w * c + k * f * f * c + images * p * q * k * (1 + residual))
        sets = max(2, min(96, int(160e6 / moved) + 1))
        last = torch.channels_last
        make = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.float16).contiguous(memory_format=last)
        xs = [make(images, c, h, w) for _ in range(sets)]
        ws = [make(k, c, f, f) * (c * f * f) ** -0.5 for _ in range(sets)]
        zs = [make(images, k, p, q) for _ in range(sets)] if residual else [None] * sets
        bias = torch.randn(k, device="cuda", dtype=torch.float16)
        arguments = ([stride] * 2, [f // 2] * 2, [1, 1], 1)

        def fused(i):
            if residual:
                return torch.cudnn_convolution_add_relu(xs[i], ws[i], zs[i], 1.0, bias, *arguments)
            return torch.cudnn_convolution_relu(xs[i], ws[i], bias, *arguments)

        def apart(i):
            y = torch.nn.functional.conv2d(xs[i], ws[i], bias, *arguments)
            return y.add_(zs[i]).relu_() if residual else y.relu_()

        row = {"section": "conv-peer", "what": f"n{images}_{h}x{w}x{c}_k{k}_f{f}x{f}_s{stride}_p{f // 2}_d1_g1", "images": images, "residual": residual}
        for name, body in (("fused", fused), ("apart", apart)):
            try:
                body(0)
                row[name + "_us"] = round(Repeated(lambda stream: [body(i) for i in range(sets)], launches=1).median(9) / sets, 3)
            except Exception as error:
                row[name + "_error"] = str(error)[:100]
        print(json.dumps(row), file=out, flush=True)
        print(json.dumps(row))
