// A launch is prepared once (configuration, packed parameters, the buffers it names) and then launched by two numbers.
#include <cstring>

#include "addon.h"

namespace {
constexpr std::size_t fieldsPerBuffer = 4;  // block offset, buffer, byte offset in it, bytes the kernel may touch

std::vector<double> list(const Napi::Object& object, const char* name, std::size_t length, const char* doing) {
  Napi::Value value = object.Get(name);
  if (!value.IsArray() || value.As<Napi::Array>().Length() != length)
    throw Failure(badArgument, doing, std::string("a tensor map's ") + name + " must have " + std::to_string(length) + " entries");
  std::vector<double> numbers;
  Napi::Array array = value.As<Napi::Array>();
  for (std::uint32_t i = 0; i < length; i++) {
    Napi::Value item = array.Get(i);
    if (!item.IsNumber()) throw Failure(badArgument, doing, std::string("a tensor map's ") + name + " must hold numbers");
    numbers.push_back(item.As<Napi::Number>().DoubleValue());
  }
  return numbers;
}
double number(const Napi::Object& object, const char* name, const char* doing) {
  Napi::Value value = object.Get(name);
  if (!value.IsNumber()) throw Failure(badArgument, doing, std::string("a tensor map's ") + name + " must be a number");
  return value.As<Napi::Number>().DoubleValue();
}
template <typename T>
std::vector<T> convert(const std::vector<double>& values) {
  std::vector<T> result;
  for (double value : values) result.push_back(static_cast<T>(value));
  return result;
}
}  // namespace

// Fills the launch's block: the caller's bytes, then each buffer's address and each tensor map at its place.
void Instance::setParameters(LaunchObject& launch, const std::uint8_t* block, std::size_t bytes,
                             const std::vector<double>& buffers, const Napi::Array& maps, const char* doing) {
  auto& function = table_.get<FunctionObject>(launch.function, doing);
  if (function.layoutKnown && bytes != function.parameterBytes)
    throw Failure(badArgument, doing,
                  "the kernel " + function.name + " takes " + std::to_string(function.parameterBytes) +
                      " bytes of parameters, got " + std::to_string(bytes));
  if (bytes > 32764) throw Failure(badArgument, doing, "a kernel takes at most 32,764 bytes of parameters");
  if (buffers.size() % fieldsPerBuffer != 0) throw Failure(badArgument, doing, "four numbers describe a buffer argument");
  // A place must lie inside one parameter of the kernel and inside the block.
  auto place = [&](double offset, std::size_t size, const char* what) {
    const auto at = toInteger(offset, "a parameter's offset", doing);
    bool inside = at % 8 == 0 && at + size <= bytes;
    if (inside && function.layoutKnown) {
      inside = false;
      for (const auto& [start, length] : function.parameters)
        if (at >= start && at + size <= start + length) inside = true;
    }
    if (!inside)
      throw Failure(badArgument, doing,
                    std::string(what) + " at byte " + std::to_string(at) + " does not fit a parameter of the kernel " + function.name);
    return at;
  };

  std::vector<std::uint64_t> words((bytes + 7) / 8 + 1, 0);
  auto* target = reinterpret_cast<std::uint8_t*>(words.data());
  if (bytes > 0) std::memcpy(target, block, bytes);
  std::vector<BufferArgument> used;
  for (std::size_t i = 0; i < buffers.size(); i += fieldsPerBuffer) {
    const auto at = place(buffers[i], 8, "a buffer");
    const auto offset = toInteger(buffers[i + 2], "a buffer argument's offset", doing);
    const auto length = toInteger(buffers[i + 3], "a buffer argument's length", doing);
    auto& memory = range(toInteger(buffers[i + 1], "a buffer argument", doing), offset, length, doing);
    sameDevice(memory, launch, doing);
    const std::uint64_t address = memory.address + offset;
    std::memcpy(target + at, &address, 8);
    used.push_back({memory.id, &memory});
  }
  const Driver& cuda = driver(doing);
  for (std::uint32_t i = 0; i < maps.Length(); i++) {
    Napi::Value item = maps.Get(i);
    if (!item.IsObject()) throw Failure(badArgument, doing, "a tensor map is an object");
    Napi::Object map = item.As<Napi::Object>();
    const auto at = place(number(map, "at", doing), sizeof(cu::TensorMap), "a tensor map");
    const auto rank = static_cast<std::uint32_t>(number(map, "rank", doing));
    if (rank < 1 || rank > 5) throw Failure(badArgument, doing, "a tensor map has one to five dimensions");
    const auto offset = toInteger(number(map, "offset", doing), "a tensor map's offset", doing);
    const auto length = toInteger(number(map, "bytes", doing), "a tensor map's bytes", doing);
    auto& memory = range(toInteger(number(map, "buffer", doing), "a tensor map's buffer", doing), offset, length, doing);
    sameDevice(memory, launch, doing);
    const auto dims = convert<std::uint64_t>(list(map, "dims", rank, doing));
    const auto strides = convert<std::uint64_t>(list(map, "strides", rank - 1, doing));
    const auto step = convert<std::uint32_t>(list(map, "elementStrides", rank, doing));
    const int type = int(number(map, "dtype", doing)), interleave = int(number(map, "interleave", doing)),
              swizzle = int(number(map, "swizzle", doing)), promotion = int(number(map, "l2Promotion", doing)),
              fill = int(number(map, "oobFill", doing));
    auto* address = reinterpret_cast<void*>(memory.address + offset);
    cu::TensorMap encoded{};
    if (map.Get("lowerCorner").IsArray()) {
      const auto lower = convert<int>(list(map, "lowerCorner", rank - 2, doing));
      const auto upper = convert<int>(list(map, "upperCorner", rank - 2, doing));
      CUDA_CALL(cuda, tensorMapEncodeIm2col, "encode an im2col tensor map", &encoded, type, rank, address, dims.data(),
                strides.data(), lower.data(), upper.data(), std::uint32_t(number(map, "channelsPerPixel", doing)),
                std::uint32_t(number(map, "pixelsPerColumn", doing)), step.data(), interleave, swizzle, promotion, fill);
    } else {
      const auto box = convert<std::uint32_t>(list(map, "box", rank, doing));
      CUDA_CALL(cuda, tensorMapEncodeTiled, "encode a tensor map", &encoded, type, rank, address, dims.data(), strides.data(),
                box.data(), step.data(), interleave, swizzle, promotion, fill);
    }
    std::memcpy(target + at, &encoded, sizeof encoded);
    used.push_back({memory.id, &memory});
  }
  dropResolved(launch);
  launch.block = std::move(words);
  launch.blockBytes = bytes;
  launch.buffers = std::move(used);
  launch.checkedEpoch = 0;
  launch.pointers.clear();
  for (const auto& [offset, length] : function.parameters)
    launch.pointers.push_back(reinterpret_cast<std::uint8_t*>(launch.block.data()) + offset);
  launch.pointers.push_back(nullptr);  // never empty, so that its address is one
  launch.extra[0] = cu::paramBufferPointer;
  launch.extra[1] = launch.block.data();
  launch.extra[2] = cu::paramBufferSize;
  launch.extra[3] = &launch.blockBytes;
  launch.extra[4] = cu::paramEnd;
}

// configuration: grid x y z, block x y z, shared bytes, cluster x y z, flags (1: may start before the launch before it has
// ended; 2: cooperative).
Napi::Value Instance::prepareLaunch(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "prepare a launch");
  auto& function = table_.get<FunctionObject>(arguments.integer(0, "function"), arguments.doing());
  const auto configuration = arguments.numbers(1, "configuration");
  if (configuration.size() != 11) arguments.refuse("the configuration has eleven numbers");
  std::array<unsigned, 11> c{};
  for (std::size_t i = 0; i < c.size(); i++) {
    const auto value = toInteger(configuration[i], "a configuration entry", arguments.doing());
    if (value > 0x7fffffff) arguments.refuse("a configuration entry is above 2^31 - 1");
    c[i] = static_cast<unsigned>(value);
  }
  for (std::size_t i : {0, 1, 2, 3, 4, 5, 7, 8, 9})
    if (c[i] == 0) arguments.refuse("grid, block and cluster sizes must be at least 1");
  const auto [block, bytes] = arguments.bytes(2, "block");
  const auto buffers = arguments.numbers(3, "buffers");
  if (!info[4].IsArray()) arguments.refuse("maps must be an array");

  auto object = std::make_unique<LaunchObject>();
  object->context = object->parent = function.context;
  object->function = function.id;
  object->config = {c[0], c[1], c[2], c[3], c[4], c[5], c[6], nullptr, nullptr, 0};
  object->cluster = {c[7], c[8], c[9]};
  if (c[7] * c[8] * c[9] > 1) {
    cu::LaunchAttribute attribute{};
    attribute.id = cu::launchClusterDimension;
    attribute.value.cluster = {c[7], c[8], c[9]};
    object->attributes.push_back(attribute);
  }
  for (const auto& [bit, id] : {std::pair{1u, cu::launchProgrammaticSerialization}, std::pair{2u, cu::launchCooperative}})
    if ((c[10] & bit) != 0) {
      cu::LaunchAttribute attribute{};
      attribute.id = id;
      attribute.value.flag = 1;
      object->attributes.push_back(attribute);
    }
  object->config.attributes = object->attributes.data();
  object->config.attributeCount = static_cast<unsigned>(object->attributes.size());
  enter(function, arguments.doing());
  setParameters(*object, block, bytes, buffers, info[4].As<Napi::Array>(), arguments.doing());
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

// New parameters for the same kernel and configuration. Launches already submitted keep theirs.
Napi::Value Instance::updateLaunch(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "change a launch's parameters");
  auto& launch = table_.get<LaunchObject>(arguments.integer(0, "launch"), arguments.doing());
  const auto [block, bytes] = arguments.bytes(1, "block");
  const auto buffers = arguments.numbers(2, "buffers");
  if (!info[3].IsArray()) arguments.refuse("maps must be an array");
  enter(launch, arguments.doing());
  setParameters(launch, block, bytes, buffers, info[3].As<Napi::Array>(), arguments.doing());
  return info.Env().Undefined();
}

Napi::Value Instance::destroyLaunch(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "release a launch");
  auto& launch = table_.get<LaunchObject>(arguments.integer(0, "launch"), arguments.doing());
  enter(launch, arguments.doing());
  auto owned = table_.remove(launch, arguments.doing());
  dropResolved(static_cast<LaunchObject&>(*owned));
  return info.Env().Undefined();
}

// Everything a launch names must be alive. Nothing has gone away since the last check if the table's epoch is the same.
void Instance::checkBuffers(LaunchObject& launch, const char* doing) {
  if (launch.checkedEpoch == table_.epoch()) return;
  launch.functionObject = &table_.get<FunctionObject>(launch.function, doing);
  launch.moduleObject = &table_.get<ModuleObject>(launch.functionObject->module, doing);
  for (BufferArgument& argument : launch.buffers) argument.object = &table_.get<MemoryObject>(argument.memory, doing);
  launch.checkedEpoch = table_.epoch();
}

std::vector<Handle> Instance::objectsOf(const LaunchObject& launch) const {
  std::vector<Handle> objects{launch.moduleObject->id};
  for (const BufferArgument& argument : launch.buffers) objects.push_back(argument.memory);
  return objects;
}

// The driver frees an executable that is still running when it has ended.
void Instance::dropResolved(LaunchObject& launch) {
  if (launch.resolved != nullptr) driver_->graphExecDestroy(launch.resolved);
  launch.resolved = nullptr;
  launch.repeatedOn = 0;
  launch.repeats = 0;
}

// Submits a launch that has come to the same stream several times as a graph of one node, which the driver has resolved once. Not one with
// attributes that tie it to its neighbours in the stream (a dependent launch), and not on a second stream: an executable does not run
// beside itself. Says whether it has submitted.
bool Instance::submitResolved(LaunchObject& launch, StreamObject& target, const char* doing) {
  static constexpr unsigned plainLaunches = 8;
  if (launch.repeatedOn != target.id) {
    if (launch.resolved == nullptr) launch.repeatedOn = target.id, launch.repeats = 0;
    return false;
  }
  const Driver& cuda = *driver_;
  if (launch.resolved == nullptr) {
    if (launch.repeats < plainLaunches) return false;
    for (const cu::LaunchAttribute& attribute : launch.attributes)
      if (attribute.id != cu::launchClusterDimension) return false;
    cu::Graph graph = nullptr;
    CUDA_CALL(cuda, streamBeginCapture, doing, target.handle, cu::captureRelaxed);
    const cu::Result captured = cuda.launchKernelEx(&launch.config, launch.functionObject->handle, launch.asPointers(), launch.asBlock());
    CUDA_CALL(cuda, streamEndCapture, doing, target.handle, &graph);
    const cu::Result made = captured == cu::success && graph != nullptr ? cuda.graphInstantiate(&launch.resolved, graph, 0ull) : captured;
    if (graph != nullptr) cuda.graphDestroy(graph);
    if (made != cu::success || launch.resolved == nullptr) {
      launch.resolved = nullptr;
      launch.repeats = 0;  // plain again: what is wrong will be said there
      return false;
    }
  }
  CUDA_CALL(cuda, graphLaunch, doing, launch.resolved, target.handle);
  return true;
}

void Instance::submitPlain(LaunchObject& launch, const char* doing) {
  const Driver& cuda = *driver_;
  if (cuda.launchKernelEx == nullptr)
    throw Failure(symbolMissing, doing, "the driver has no cuLaunchKernelEx: CUDA 11.8 or later is needed");
  const cu::Result result =
      cuda.launchKernelEx(&launch.config, launch.functionObject->handle, launch.asPointers(), launch.asBlock());
  if (result == cu::success) return;
  const auto& c = launch.config;
  auto three = [](unsigned x, unsigned y, unsigned z) {
    return std::to_string(x) + "x" + std::to_string(y) + "x" + std::to_string(z);
  };
  throw cuda.failure(result, DriverNames::launchKernelEx,
                     "launch the kernel " + launch.functionObject->name + " (grid " + three(c.gridX, c.gridY, c.gridZ) + ", block " +
                         three(c.blockX, c.blockY, c.blockZ) + ", cluster " +
                         three(launch.cluster[0], launch.cluster[1], launch.cluster[2]) + ", " +
                         std::to_string(c.sharedBytes) + " bytes of shared memory)");
}

void Instance::launch(Handle launchHandle, Handle streamHandle) {
  static constexpr const char* doing = "launch a kernel";
  auto& launch = table_.get<LaunchObject>(launchHandle, doing);
  auto& target = stream(streamHandle, doing);
  sameDevice(launch, target, doing);
  checkBuffers(launch, doing);
  enter(target, doing);
  launch.config.stream = target.handle;
  const bool captured = target.capture != nullptr;
  if (captured || !submitResolved(launch, target, doing)) submitPlain(launch, doing);
  submitted(target);
  if (!captured) {
    launch.repeats++;
    use(target, *launch.moduleObject);
    for (const BufferArgument& argument : launch.buffers) use(target, *argument.object);
    return;
  }
  // The node that the capture made for this launch is what the stream now depends on.
  NodeRecord record;
  record.name = launch.functionObject->name;
  record.objects = objectsOf(launch);
  record.cluster = launch.cluster;
  int status = 0;
  std::uint64_t id = 0;
  cu::Graph graph = nullptr;
  const cu::GraphNode* dependencies = nullptr;
  std::size_t count = 0;
  if (driver_->streamGetCaptureInfo != nullptr &&
      driver_->streamGetCaptureInfo(target.handle, &status, &id, &graph, &dependencies, &count) == cu::success &&
      status == cu::captureActive && count == 1)
    record.node = dependencies[0];
  target.capture->kernels.push_back(std::move(record));
}
