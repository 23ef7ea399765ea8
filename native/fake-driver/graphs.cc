// Capture, graphs, replay, node update.
#include "fake.h"

using namespace fake;

FAKE_API cu::Result cuStreamBeginCapture_v2(cu::Stream handle, int) {
  FAKE_ENTER();
  auto* stream = live<Stream>(handle);
  if (stream == nullptr || stream->capture != nullptr) return cu::errorInvalidValue;
  cu::Graph graph;
  if (cu::Result result = keep(new Graph{context, {}, {}, {stream}}, &graph); result != cu::success) return result;
  stream->capture = reinterpret_cast<Graph*>(graph);
  return cu::success;
}
FAKE_API cu::Result cuStreamEndCapture(cu::Stream handle, cu::Graph* out) {
  FAKE_ENTER();
  auto* stream = live<Stream>(handle);
  if (stream == nullptr || stream->capture == nullptr) return cu::errorInvalidValue;
  Graph* graph = stream->capture;
  for (Stream* joined : graph->streams) joined->capture = nullptr;
  *out = reinterpret_cast<cu::Graph>(graph);
  return cu::success;
}
FAKE_API cu::Result cuStreamGetCaptureInfo_v2(cu::Stream handle, int* status, std::uint64_t* id, cu::Graph* graph,
                                              const cu::GraphNode** dependencies, std::size_t* count) {
  FAKE_ENTER();
  auto* stream = live<Stream>(handle);
  if (stream == nullptr) return errorInvalidHandle;
  *status = stream->capture != nullptr ? cu::captureActive : 0;
  if (stream->capture == nullptr) return cu::success;
  *id = 1;
  *graph = reinterpret_cast<cu::Graph>(stream->capture);
  *dependencies = reinterpret_cast<const cu::GraphNode*>(stream->capture->last.data());
  *count = stream->capture->last.size();
  return cu::success;
}
FAKE_API cu::Result cuGraphDestroy(cu::Graph handle) {
  std::lock_guard lock(state().mutex);
  return drop(live<Graph>(handle));
}
FAKE_API cu::Result cuGraphGetNodes(cu::Graph handle, cu::GraphNode*, std::size_t* count) {
  auto* graph = live<Graph>(handle);
  if (graph == nullptr) return errorInvalidHandle;
  *count = graph->nodes.size();
  return cu::success;
}
FAKE_API cu::Result cuGraphInstantiateWithFlags(cu::GraphExec* out, cu::Graph handle, unsigned long long) {
  FAKE_ENTER();
  auto* graph = live<Graph>(handle);
  if (graph == nullptr) return errorInvalidHandle;
  auto* exec = new Exec{context, {}, graph->nodes};
  for (Node* node : graph->nodes) exec->work[node] = node->run;
  return keep(exec, out);
}
FAKE_API cu::Result cuGraphExecDestroy(cu::GraphExec handle) {
  std::lock_guard lock(state().mutex);
  return drop(live<Exec>(handle));
}
FAKE_API cu::Result cuGraphUpload(cu::GraphExec, cu::Stream) { return cu::success; }
FAKE_API cu::Result cuGraphLaunch(cu::GraphExec handle, cu::Stream streamHandle) {
  FAKE_ENTER();
  auto* exec = live<Exec>(handle);
  auto* stream = live<Stream>(streamHandle);
  if (exec == nullptr || stream == nullptr) return errorInvalidHandle;
  for (Node* node : exec->order)
    if (cu::Result result = exec->work[node](stream); result != cu::success) return result;
  return cu::success;
}
FAKE_API cu::Result cuGraphExecKernelNodeSetParams_v2(cu::GraphExec handle, cu::GraphNode node, const cu::KernelNodeParams* params) {
  FAKE_ENTER();
  auto* exec = live<Exec>(handle);
  if (exec == nullptr) return errorInvalidHandle;
  auto found = exec->work.find(reinterpret_cast<Node*>(node));
  if (found == exec->work.end() || found->first->type != 0) return cu::errorInvalidValue;
  const auto& kernel = *reinterpret_cast<Kernel*>(params->function);
  found->second = kernelWork(kernel, parameterBlock(kernel, params->kernelParams, params->extra));
  return cu::success;
}
