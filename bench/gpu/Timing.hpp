// Device time of one launch: a graph of many launches over rotated buffers, replayed between two events; the median.
#pragma once
#include "../../native/test-gpu/Cuda.hpp"

#include <algorithm>
#include <functional>
#include <vector>

class Repeated {
 public:
  // `launch(i, stream)` launches on the i-th set of buffers.
  Repeated(const Device &device, int count, const std::function<void(int, CUstream)> &launch) : stream_(device.stream), count_(count) {
    CUgraph graph;
    CHECK_CUDA(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED));
    try {
      for (int i = 0; i < count; i++) launch(i, stream_);
    } catch (...) {
      cuda().cuStreamEndCapture(stream_, &graph);
      throw;
    }
    CHECK_CUDA(cuStreamEndCapture(stream_, &graph));
    CHECK_CUDA(cuGraphInstantiateWithFlags(&executable_, graph, 0));
    CHECK_CUDA(cuGraphDestroy(graph));
    CHECK_CUDA(cuEventCreate(&begin_, CU_EVENT_DEFAULT));
    CHECK_CUDA(cuEventCreate(&end_, CU_EVENT_DEFAULT));
  }
  Repeated(const Repeated &) = delete;
  ~Repeated() {
    cuda().cuGraphExecDestroy(executable_);
    cuda().cuEventDestroy_v2(begin_);
    cuda().cuEventDestroy_v2(end_);
  }
  // Microseconds of one launch.
  double once() {
    CHECK_CUDA(cuEventRecord(begin_, stream_));
    CHECK_CUDA(cuGraphLaunch(executable_, stream_));
    CHECK_CUDA(cuEventRecord(end_, stream_));
    CHECK_CUDA(cuEventSynchronize(end_));
    float ms = 0;
    CHECK_CUDA(cuEventElapsedTime_v2(&ms, begin_, end_));
    return ms * 1000.0 / count_;
  }
  double median(int rounds) {
    std::vector<double> times;
    once();
    for (int i = 0; i < rounds; i++) times.push_back(once());
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

 private:
  CUstream stream_;
  int count_;
  CUgraphExec executable_ = nullptr;
  CUevent begin_ = nullptr, end_ = nullptr;
};

// Two ways in turns, so that both see the same clocks; medians of each.
inline std::pair<double, double> in_turns(Repeated &ours, Repeated &peer, int rounds) {
  std::vector<double> a, b;
  ours.once(), peer.once();
  for (int i = 0; i < rounds; i++) a.push_back(ours.once()), b.push_back(peer.once());
  std::sort(a.begin(), a.end()), std::sort(b.begin(), b.end());
  return {a[a.size() / 2], b[b.size() / 2]};
}
