// Graphs: captured from a stream, instantiated, replayed, their kernel nodes updated.
#include "addon.h"

Napi::Value Instance::beginCapture(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "begin a capture");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  if (target.capture != nullptr) throw Failure(busy, arguments.doing(), "the stream is already being captured");
  enter(target, arguments.doing());
  // Relaxed: other fibers of this thread may allocate meanwhile; what they do is not part of this stream.
  CUDA_CALL(driver(arguments.doing()), streamBeginCapture, arguments.doing(), target.handle, cu::captureRelaxed);
  target.capture = std::make_shared<Capture>();
  target.capture->origin = target.id;
  target.capture->streams.push_back(target.id);
  return info.Env().Undefined();
}

// { handle, kernels: [{ name, updatable }], nodes }
Napi::Value Instance::endCapture(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "end a capture");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  if (target.capture == nullptr) throw Failure(badArgument, arguments.doing(), "the stream is not being captured");
  if (target.capture->origin != target.id)
    throw Failure(badArgument, arguments.doing(), "end the capture on the stream on which it began");
  enter(target, arguments.doing());
  const Driver& cuda = driver(arguments.doing());
  const auto capture = target.capture;
  for (Handle joined : capture->streams)
    if (auto* object = static_cast<StreamObject*>(table_.find(joined)); object != nullptr) object->capture = nullptr;
  auto graph = std::make_unique<GraphObject>();
  CUDA_CALL(cuda, streamEndCapture, arguments.doing(), target.handle, &graph->handle);
  if (graph->handle == nullptr) throw Failure(badArgument, arguments.doing(), "the capture was invalidated");
  graph->capture = std::move(*capture);
  graph->context = graph->parent = target.context;
  std::size_t nodes = 0;
  if (cu::Result result = cuda.graphGetNodes(graph->handle, nullptr, &nodes); result != cu::success) {
    cuda.graphDestroy(graph->handle);
    throw cuda.failure(result, DriverNames::graphGetNodes, arguments.doing());
  }
  auto kernels = Napi::Array::New(info.Env());
  for (std::size_t i = 0; i < graph->capture.kernels.size(); i++) {
    auto kernel = Napi::Object::New(info.Env());
    kernel.Set("name", graph->capture.kernels[i].name);
    kernel.Set("updatable", graph->capture.kernels[i].node != nullptr);
    kernels.Set(std::uint32_t(i), kernel);
  }
  auto result = Napi::Object::New(info.Env());
  result.Set("kernels", kernels);
  result.Set("nodes", double(nodes));
  result.Set("handle", double(table_.insert(std::move(graph))));
  return result;
}

Napi::Value Instance::destroyGraph(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "destroy a graph");
  auto& graph = table_.get<GraphObject>(arguments.integer(0, "graph"), arguments.doing());
  enter(graph, arguments.doing());
  auto owned = table_.remove(graph, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), graphDestroy, arguments.doing(), static_cast<GraphObject&>(*owned).handle);
  return info.Env().Undefined();
}

Napi::Value Instance::instantiate(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "instantiate a graph");
  auto& graph = table_.get<GraphObject>(arguments.integer(0, "graph"), arguments.doing());
  enter(graph, arguments.doing());
  auto object = std::make_unique<GraphExecObject>();
  object->context = graph.context;
  object->parent = graph.id;
  object->kernels = graph.capture.kernels;
  object->others = graph.capture.others;
  auto everything = object->others;
  for (const NodeRecord& kernel : object->kernels) everything.insert(everything.end(), kernel.objects.begin(), kernel.objects.end());
  for (Handle handle : everything)
    if (table_.find(handle) == nullptr)
      throw Failure(staleHandle, arguments.doing(), "a buffer or module that the graph uses has been released");
  CUDA_CALL(driver(arguments.doing()), graphInstantiate, arguments.doing(), &object->handle, graph.handle, 0ull);
  const Handle id = table_.insert(std::move(object));
  for (Handle handle : everything) {
    auto& graphs = table_.find(handle)->graphs;
    if (graphs.empty() || graphs.back() != id) graphs.push_back(id);
  }
  return Napi::Number::New(info.Env(), double(id));
}

Napi::Value Instance::destroyExecutable(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "destroy an instantiated graph");
  auto& executable = table_.get<GraphExecObject>(arguments.integer(0, "executable"), arguments.doing());
  enter(executable, arguments.doing());
  requireSettled(executable, arguments.doing());
  auto forget = [&](Handle handle) {
    if (Object* object = table_.find(handle); object != nullptr) std::erase(object->graphs, executable.id);
  };
  for (Handle handle : executable.others) forget(handle);
  for (const NodeRecord& kernel : executable.kernels)
    for (Handle handle : kernel.objects) forget(handle);
  auto owned = table_.remove(executable, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), graphExecDestroy, arguments.doing(), static_cast<GraphExecObject&>(*owned).handle);
  return info.Env().Undefined();
}

Napi::Value Instance::uploadGraph(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "upload a graph");
  auto& executable = table_.get<GraphExecObject>(arguments.integer(0, "executable"), arguments.doing());
  auto& target = stream(arguments.integer(1, "stream"), arguments.doing());
  sameDevice(executable, target, arguments.doing());
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), graphUpload, arguments.doing(), executable.handle, target.handle);
  submitted(target);
  use(target, executable);
  return info.Env().Undefined();
}

// Gives the `index`-th captured launch of an instantiated graph the kernel, sizes and parameters of a prepared launch. Later
// replays use them.
Napi::Value Instance::updateKernelNode(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "update a graph's kernel node");
  auto& executable = table_.get<GraphExecObject>(arguments.integer(0, "executable"), arguments.doing());
  const std::uint64_t index = arguments.integer(1, "index");
  auto& launch = table_.get<LaunchObject>(arguments.integer(2, "launch"), arguments.doing());
  sameDevice(executable, launch, arguments.doing());
  if (index >= executable.kernels.size())
    throw Failure(outOfRange, arguments.doing(),
                  "kernel " + std::to_string(index) + " of a graph of " + std::to_string(executable.kernels.size()));
  NodeRecord& record = executable.kernels[index];
  if (record.node == nullptr) throw Failure(symbolMissing, arguments.doing(), "the driver did not name the captured node");
  if (record.cluster != launch.cluster)
    throw Failure(badArgument, arguments.doing(), "a node's cluster size cannot be changed: capture the graph anew");
  checkBuffers(launch, arguments.doing());
  enter(executable, arguments.doing());
  cu::KernelNodeParams params{};
  params.function = launch.functionObject->handle;
  params.gridX = launch.config.gridX;
  params.gridY = launch.config.gridY;
  params.gridZ = launch.config.gridZ;
  params.blockX = launch.config.blockX;
  params.blockY = launch.config.blockY;
  params.blockZ = launch.config.blockZ;
  params.sharedBytes = launch.config.sharedBytes;
  params.kernelParams = launch.asPointers();
  params.extra = launch.asBlock();
  CUDA_CALL(driver(arguments.doing()), graphExecKernelNodeSetParams, "update the graph's kernel " + record.name,
            executable.handle, record.node, &params);
  record.name = launch.functionObject->name;
  record.objects = objectsOf(launch);
  executable.checkedEpoch = 0;
  for (Handle handle : record.objects) {
    auto& graphs = table_.find(handle)->graphs;
    std::erase(graphs, executable.id);
    graphs.push_back(executable.id);
  }
  return info.Env().Undefined();
}

void Instance::replay(Handle executableHandle, Handle streamHandle) {
  static constexpr const char* doing = "replay a graph";
  auto& executable = table_.get<GraphExecObject>(executableHandle, doing);
  auto& target = stream(streamHandle, doing);
  sameDevice(executable, target, doing);
  if (target.capture != nullptr) throw Failure(busy, doing, "the stream is being captured: replay on another one");
  if (executable.checkedEpoch != table_.epoch()) {
    auto require = [&](Handle handle) {
      if (table_.find(handle) == nullptr)
        throw Failure(staleHandle, doing, "a buffer or module that the graph uses has been released");
    };
    for (Handle handle : executable.others) require(handle);
    for (const NodeRecord& kernel : executable.kernels)
      for (Handle handle : kernel.objects) require(handle);
    executable.checkedEpoch = table_.epoch();
  }
  enter(target, doing);
  CUDA_CALL(*driver_, graphLaunch, doing, executable.handle, target.handle);
  submitted(target);
  use(target, executable);
}

// While the environment is taken down: give back what is certainly idle.
void Instance::abandon(Object& object) {
  auto* context = static_cast<ContextObject*>(table_.find(object.context));
  if (context == nullptr || driver_->ctxSetCurrent(context->primary->handle) != cu::success) return;
  try {
    switch (object.kind) {
      case Kind::GraphExec:
        if (unfinished(object).empty()) driver_->graphExecDestroy(static_cast<GraphExecObject&>(object).handle);
        break;
      case Kind::Launch:
        dropResolved(static_cast<LaunchObject&>(object));
        break;
      case Kind::Graph:
        driver_->graphDestroy(static_cast<GraphObject&>(object).handle);
        break;
      case Kind::Memory:
        if (unfinished(object).empty()) releaseMemory(static_cast<MemoryObject&>(object), false, "free at the end");
        break;
      case Kind::Module:
        if (unfinished(object).empty()) driver_->moduleUnload(static_cast<ModuleObject&>(object).handle);
        break;
      case Kind::Event:
        driver_->eventDestroy(static_cast<EventObject&>(object).handle);
        break;
      case Kind::Stream:
        driver_->streamDestroy(static_cast<StreamObject&>(object).handle);
        break;
      case Kind::Pool:
        driver_->memPoolDestroy(static_cast<PoolObject&>(object).handle);
        break;
      default:
        break;
    }
  } catch (const Failure&) {
    // A broken context cannot free anything any more; the process's end does.
  }
}
